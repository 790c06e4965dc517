"""What a process does by itself, again and again, for as long as it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from shared.errors import Unavailable
from shared.observability.trouble import Trouble
from shared.tasks import together

RETRY_SECONDS = 0.25

Work = Callable[[], Awaitable[object]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Duty:
    """Work to be done for ever, `seconds` apart."""

    name: str
    work: Work
    seconds: float


async def keep_up(until_ready: Work, duties: Iterable[Duty]) -> None:
    """Do all `duties` for ever, once `until_ready` has ended: a database has its tables, for example."""
    await until_ready()
    await together(*map(repeatedly, duties))


async def repeatedly(duty: Duty) -> None:
    """Do one duty for ever; sooner again after a failure, none of which ends it."""
    trouble = Trouble(_log, "upkeep fails", "upkeep works again")
    while True:
        if reason := await failure_of(duty.work):
            trouble.is_now(reason, work=duty.name)
        else:
            trouble.is_over(work=duty.name)
        await asyncio.sleep(RETRY_SECONDS if reason else duty.seconds)


async def failure_of(work: Work) -> str:
    """What went wrong, in a few words; empty when nothing did. A bug is logged with all there is to know."""
    try:
        await work()
    except Unavailable as away:
        return away.detail
    except Exception as failure:
        _log.exception("fails unexpectedly")
        return type(failure).__name__
    return ""
