"""The domain's Inventory and Wallets as a test wants them: willing, unless it says otherwise."""

import asyncio
from collections import defaultdict, deque

from services.order.domain.fulfilment import DONE, Answer, Participants
from services.order.domain.orders import Order
from shared.errors import Unavailable

SILENCE = Unavailable("The service cannot answer.", retry_after=1.0)


class FakeParticipants:
    """Both of them. `asked` has every call, in its order."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.most_at_once = 0
        self._at_once = 0
        self._next: defaultdict[str, deque[Answer | Exception]] = defaultdict(deque)
        self._gates: dict[str, asyncio.Event] = {}

    @property
    def both(self) -> Participants:
        return Participants(self, self)

    def will(self, call: str, *answers: Answer | Exception) -> None:
        """What comes of the next calls; a failure is raised. The last stays what comes of all later ones."""
        self._next[call] = deque(answers)

    def hold_up(self, call: str) -> asyncio.Event:
        """Whoever calls from now on gets no answer before this."""
        self._gates[call] = asyncio.Event()
        return self._gates[call]

    async def reserve(self, _: Order) -> Answer:
        return await self._answer("reserve")

    async def release(self, _: Order) -> Answer:
        return await self._answer("release")

    async def commit(self, _: Order) -> Answer:
        return await self._answer("commit")

    async def charge(self, _: Order) -> Answer:
        return await self._answer("charge")

    async def refund(self, _: Order) -> Answer:
        return await self._answer("refund")

    async def _answer(self, call: str) -> Answer:
        self.asked.append(call)
        self._at_once += 1
        self.most_at_once = max(self._at_once, self.most_at_once)
        try:
            await self._gates[call].wait() if call in self._gates else await asyncio.sleep(0)
        finally:
            self._at_once -= 1
        answers = self._next[call]
        answer = DONE if not answers else answers.popleft() if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer
