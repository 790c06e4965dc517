"""Processes of services that are started again at once, as often as they are killed.

scripts/keep lets one wait that dies soon after its start, and longer each time. That is right for a process
that is broken, and a waste of time where every death is meant.
"""

import asyncio
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from scripts.support.procfile_parts import parts_of
from scripts.support.readiness import why_not_ready
from tests.e2e.replicas import start_process
from tests.e2e.system import START_SECONDS, System
from tests.waiting import until

POLL_SECONDS = 0.02


class Revived:
    """The processes `names` of a system, `order.2` for example, and who of them was killed, in that order."""

    def __init__(self, system: System, names: Sequence[str]) -> None:
        self._system = system
        self._processes = {name: start_process(system, name) for name in names}
        self.deaths: list[str] = []

    def wait_until_ready(self) -> None:
        """Until every service answers."""
        services = {name.partition(".")[0] for name in self._processes}
        parts = parts_of(services, self._system.environment)
        until(lambda: not any(map(why_not_ready, parts)), START_SECONDS, "all are ready", self._system.log)

    async def keep_reviving(self) -> None:
        """Until cancelled. AssertionError when one ends by itself."""
        while True:
            self._revive()
            await asyncio.sleep(POLL_SECONDS)

    def _revive(self) -> None:
        for name, process in self._processes.items():
            if process.exitcode is None:
                continue
            assert process.exitcode == -signal.SIGKILL, f"{name} has ended with {process.exitcode}"
            self.deaths.append(name)
            self._processes[name] = start_process(self._system, name)

    def end(self) -> None:
        """As a system that is stopped does."""
        running = list(self._processes.values())
        for each in running:
            each.terminate()
        for each in running:
            each.join()


@contextmanager
def revived(system: System, names: Sequence[str]) -> Iterator[Revived]:
    """They are ready when the block begins, and live while it runs."""
    processes = Revived(system, names)
    try:
        processes.wait_until_ready()
        yield processes
    finally:
        processes.end()
