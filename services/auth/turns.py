"""Who may begin with something scarce, a core or a connection: so many at once, and so many wait.

Client addresses take turns, so that one of them cannot keep all others out. Who gives up waiting leaves the
queue; who has begun keeps the place until `end`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.auth.domain.guessing import network_of
from services.auth.fair_queue import FairQueue
from shared import context
from shared.errors import Unavailable


class Turns:
    """`at_once` are at work, `waiting` wait; `refusal` makes what everybody else is answered."""

    def __init__(self, at_once: int, waiting: int, refusal: Callable[[], Unavailable]) -> None:
        self.running = 0
        self._at_once = at_once
        self._queue: FairQueue[asyncio.Future[None]] = FairQueue(waiting)
        self._refusal = refusal

    @property
    def waiting(self) -> int:
        """How many do."""
        return len(self._queue)

    @asynccontextmanager
    async def one(self, seconds: float) -> AsyncIterator[None]:
        """A turn for the block. Raises Unavailable when too many wait, or if none comes in `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self.begin()
        except TimeoutError:
            raise self._refusal() from None
        try:
            yield
        finally:
            self.end()

    async def begin(self) -> None:
        """Returns when it is the caller's turn, which lasts until `end`. Raises Unavailable."""
        if self.running < self._at_once:
            self.running += 1
            return
        lane, turn = _lane(), asyncio.get_running_loop().create_future()
        refused = self._queue.push(lane, turn)
        if refused is not None and not refused.done():
            refused.set_exception(self._refusal())
        try:
            await turn
        except asyncio.CancelledError:
            self._queue.discard(lane, turn)
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.end()  # it came at the very moment at which we gave up
            raise

    def end(self) -> None:
        """One turn is over: the next one's begins, unless it has just given up."""
        while (turn := self._queue.pop()) is not None:
            if not turn.done():
                turn.set_result(None)
                return
        self.running -= 1


def _lane() -> str:
    """The client's network."""
    return network_of(context.principal.get().client_address)
