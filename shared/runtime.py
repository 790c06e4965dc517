"""How a process lives: start, ready, drain, end.

`run` is the last line of every front file. It reads the environment once, chooses the event loop, and turns
SIGTERM and SIGINT into a cancellation of `main`, whose context managers then leave in reverse order: the
server drains first, what it stands on closes after it.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from types import ModuleType

from shared.config import ConfigError, Environment
from shared.observability import logs

uvloop: ModuleType | None
try:
    import uvloop  # faster where it is installed; everything works without
except ImportError:
    uvloop = None

Check = Callable[[], Awaitable[None]]

CHECK_SECONDS = 2.0  # a readiness check that takes longer has failed

_log = logging.getLogger(__name__)


class Readiness:
    """What must answer before this process can work: its own database and store, not its neighbours."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}
        self.draining = False

    def require(self, name: str, check: Check) -> None:
        """`check` raises an exception, whose message is shown to the operator, while `name` is not ready."""
        self._checks[name] = check

    async def failures(self) -> dict[str, str]:
        """The reason for everything that is not ready; empty when all is well."""
        if self.draining:
            return {"process": "is draining"}
        reasons = await asyncio.gather(*(self._reason(check) for check in self._checks.values()))
        return {name: reason for name, reason in zip(self._checks, reasons, strict=True) if reason}

    async def _reason(self, check: Check) -> str:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await check()
        except Exception as failure:
            return str(failure) or type(failure).__name__
        return ""


async def forever() -> None:
    """Wait until the process is told to stop."""
    await asyncio.get_running_loop().create_future()


def run(name: str, main: Callable[[Environment], Awaitable[None]]) -> None:
    """Run `main` until it ends or a signal ends it. A bad setting is one line on stderr and status 2."""
    try:
        environment = Environment(os.environ)
        logs.configure(environment.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")))
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
    try:
        await work
    except asyncio.CancelledError:
        _log.info("%s has stopped", name)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    return None if uvloop is None else uvloop.new_event_loop


def _one_line(name: str, bad: ConfigError) -> int:
    print(f"{name}: {bad}", file=sys.stderr)
    return 2
