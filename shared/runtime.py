"""How a process lives: start, ready, drain, end.

`run` is the last line of every front file. It reads the environment once, chooses the event loop, and turns
SIGTERM and SIGINT into a cancellation of `main`, whose context managers then leave in reverse order: the
server drains first, what it stands on closes after it.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import ModuleType

from shared import crash_points
from shared.config import ConfigError, Environment
from shared.errors import Unavailable
from shared.event_loop import measure_delay
from shared.observability import logs
from shared.tasks import background

uvloop: ModuleType | None
try:
    import uvloop  # faster where it is installed; everything works without
except ImportError:
    uvloop = None

Check = Callable[[], Awaitable[None]]

CHECK_SECONDS = 2.0  # a readiness check that takes longer has failed

_log = logging.getLogger(__name__)


class NeedsOperator(Unavailable):
    """Not ready, and waiting will not help: somebody has to change something, says the detail."""


@dataclass(frozen=True, slots=True)
class Failure:
    """`name` is not ready. `lasts` when waiting will not help."""

    name: str
    reason: str
    lasts: bool = False


class Readiness:
    """What must answer before this process can work: its own database and store, not its neighbours."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.draining = False

    def require(self, name: str, check: Check) -> None:
        """`check` raises while `name` is not ready; the operator sees the message. See NeedsOperator."""
        self._checks[name] = check

    async def failures(self) -> list[Failure]:
        """Everything that is not ready; empty when all is well."""
        if self.draining:
            return [Failure("process", "is draining")]
        found = await asyncio.gather(*(_try(name, check) for name, check in self._checks.items()))
        return [failure for failure in found if failure is not None]


async def _try(name: str, check: Check) -> Failure | None:
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await check()
    except Exception as failure:
        reason = str(failure) or type(failure).__name__
        return Failure(name, reason, lasts=isinstance(failure, NeedsOperator))
    return None


async def forever() -> None:
    """Serve until the process is told to stop. Everything has been put together by now.

    What exists already stays, so the garbage collector need not walk through it any more: a full collection
    of all modules would hold up every request for some 20 ms.
    """
    gc.collect()
    gc.freeze()
    await asyncio.get_running_loop().create_future()


def run(name: str, main: Callable[[Environment], Awaitable[None]]) -> None:
    """Run `main` until it ends or a signal ends it. A bad setting is one line on stderr and status 2."""
    try:
        environment = Environment(os.environ)
        logs.configure(environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")))
        crash_points.read_crash_points(environment.values.get(crash_points.SETTING))
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_until_signal(name, main, environment))
    except ConfigError as bad:
        sys.exit(_one_line(name, bad))
    finally:
        logs.lines.flush()


async def _until_signal(
    name: str, main: Callable[[Environment], Awaitable[None]], environment: Environment
) -> None:
    work = asyncio.ensure_future(main(environment))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, work.cancel)
    async with background(measure_delay(), "event loop delay"):
        try:
            await work
        except asyncio.CancelledError:
            _log.info("%s has stopped", name)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None if uvloop is None else uvloop.new_event_loop


def _one_line(name: str, bad: ConfigError) -> int:
    print(f"{name}: {bad}", file=sys.stderr)
    return 2
