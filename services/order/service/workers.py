"""Who works at which saga: claims what is due, so many at once, and gives back what it leaves undone.

A claim is a lease: each step makes it last longer, and if the process dies, it runs out. Then the saga is due
again, for any process.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from services.order.domain.fulfilment import Claim, Run, SagaRepository
from shared import context
from shared.duties import failure_of
from shared.errors import Unavailable
from shared.observability.trouble import Trouble
from shared.saga import LAST_PAUSE_SECONDS, ImpossibleLog
from shared.tasks import background, cancel, spawn

AT_ONCE = 32  # sagas that one process works at; each waits for others most of the time
POLL_SECONDS = 0.5  # how late a retry may be, or a saga whose process has died
RETRY_SECONDS = 0.25  # while our own database is away

Step = Callable[[Run], Awaitable[Run | None]]

_log = logging.getLogger(__name__)


class Workers:
    """Those of one process. `step` takes a saga a step further, or is None: nothing can be done for now."""

    def __init__(self, sagas: SagaRepository, step: Step, lease_seconds: float) -> None:
        self._sagas = sagas
        self._step = step
        self._lease_seconds = lease_seconds
        self._tasks: dict[asyncio.Task[None], Claim] = {}
        self._handed: asyncio.Queue[Run] = asyncio.Queue()
        self._is_due = asyncio.Event()
        self._is_working = False
        self._trouble = Trouble(_log, "sagas are not taken up", "sagas are taken up again")

    @property
    def are_free(self) -> bool:
        """Whether a saga that this process has just claimed can be handed to them."""
        return self._is_working and self._room > 0

    def hand(self, run: Run) -> None:
        """Go on with it at once."""
        self._handed.put_nowait(run)

    def wake(self) -> None:
        """Some saga is due now."""
        self._is_due.set()

    async def run(self) -> None:
        """Work until cancelled."""
        await self._sagas.until_ready()
        self._is_working = True
        try:
            async with background(self._take_what_is_handed(), "handed sagas"):
                while True:
                    self._trouble.is_now(await failure_of(self._take_what_is_due))
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._is_working = False
            await self._leave()

    @property
    def _room(self) -> int:
        """For how many more sagas."""
        return max(0, AT_ONCE - len(self._tasks) - self._handed.qsize())

    async def _take_what_is_handed(self) -> None:
        """In this task, not in the one that hands it: whoever is spawned inherits principal and deadline."""
        while True:
            run = await self._handed.get()
            if len(self._tasks) < AT_ONCE:
                self._start(run.claim, run)
            else:
                with suppress(Unavailable):  # the claim runs out
                    await self._sagas.give_back([run.claim])

    async def _take_what_is_due(self) -> None:
        while True:
            self._is_due.clear()
            room = self._room
            claims = await self._sagas.claim_due(room, self._lease_seconds) if room else []
            self._trouble.is_over()
            for claim in claims:
                self._start(claim)
            if len(claims) < room or not room:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._is_due.wait(), POLL_SECONDS)

    def _start(self, claim: Claim, run: Run | None = None) -> None:
        task = spawn(self._work(claim, run), f"saga of {claim.order_id}")
        self._tasks[task] = claim
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        had_room = self._room > 0
        self._tasks.pop(task, None)
        if not had_room:
            self.wake()

    async def _work(self, claim: Claim, run: Run | None) -> None:
        """At one saga, until it ends, has to wait, or is somebody else's. Our own database may be away."""
        context.request_id.set(str(claim.order_id))
        until = time.monotonic() + self._lease_seconds
        while time.monotonic() < until:
            try:
                run = run or await self._sagas.load(claim)
                while run is not None:
                    run = await self._step(run)
                    until = time.monotonic() + self._lease_seconds
            except Unavailable:
                run = None  # who knows what has been committed
                await asyncio.sleep(RETRY_SECONDS)
            except Exception as failure:
                await self._rest(claim, failure)
                return
            else:
                return

    async def _rest(self, claim: Claim, failure: Exception) -> None:
        """A saga that cannot go on, because of a bug or a broken log, is an operator's business."""
        _log.error("a saga cannot go on", exc_info=failure)
        what = str(failure) if isinstance(failure, ImpossibleLog) else type(failure).__name__
        with suppress(Unavailable):  # the claim runs out
            await self._sagas.postpone(claim, LAST_PAUSE_SECONDS, f"cannot go on: {what}")

    async def _leave(self) -> None:
        handed = [self._handed.get_nowait().claim for _ in range(self._handed.qsize())]
        left = [*self._tasks.values(), *handed]
        await cancel(*self._tasks)
        with suppress(Unavailable):  # the claims run out
            await self._sagas.give_back(left)
