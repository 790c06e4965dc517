"""Work that many ask for at the same time, done once for all who ask before it begins (single flight)."""

import asyncio
from collections.abc import Awaitable, Callable

from shared.tasks import spawn


class SingleFlight:
    """Joins calls of `work`. No two runs overlap, so that an earlier one's result never comes last."""

    def __init__(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        self._work = work
        self._name = name
        self._turn = asyncio.Lock()
        self._next: asyncio.Future[None] | None = None  # the run that somebody has asked for, not begun yet

    async def __call__(self) -> None:
        """Returns when a run that began after this call is over. Raises what the run has raised."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
            spawn(self._run(self._next), self._name)  # a task: who asked first may be cancelled
        await asyncio.shield(self._next)

    async def _run(self, over: asyncio.Future[None]) -> None:
        async with self._turn:
            self._next = None  # who comes from now on has the next one
            try:
                await self._work()
            except Exception as failure:
                over.set_exception(failure)
            else:
                over.set_result(None)
            finally:
                over.cancel()  # no effect unless this task was cancelled
