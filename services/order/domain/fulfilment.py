"""What becomes of an order between being placed and being confirmed or cancelled: its saga.

Which steps that has stands in services/order/saga.py, what a saga is in shared/saga.py.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

from services.order.domain.orders import Order, OrderEvent
from shared.saga import Entry, Log


@dataclass(frozen=True, slots=True)
class Answer:
    """What a participant has decided. `refusal` says why it has refused; empty when it has not."""

    refusal: str = ""


DONE = Answer()


class Inventory(Protocol):
    """Where goods are. A call may be made any number of times, and has one effect.

    Every method raises Unavailable or DeadlineExceeded when there is no answer: it may have had its effect.
    """

    async def reserve(self, order: Order) -> Answer:
        """Set all goods of the order aside, or none."""

    async def release(self, order: Order) -> Answer:
        """Give them back. What has not been set aside yet never will be.

        Raises Conflict when they have left.
        """

    async def commit(self, order: Order) -> Answer:
        """Let them leave for good."""


class Wallets(Protocol):
    """Where users' money is. As with Inventory, a call may be made any number of times."""

    async def charge(self, order: Order) -> Answer:
        """Take the order's total out of its user's wallet."""

    async def refund(self, order: Order) -> Answer:
        """Put it back. What has not been taken yet never will be."""


@dataclass(frozen=True, slots=True)
class Participants:
    """Who takes part in the saga of an order, besides order itself."""

    inventory: Inventory
    wallets: Wallets


def always(_: Order) -> bool:
    """Whatever the order."""
    return True


@dataclass(frozen=True, slots=True)
class Call:
    """A command or compensation that another service, `whom`, carries out.

    Where it is not needed, nobody is asked, and it is done.
    """

    name: str
    whom: str
    ask: Callable[[Participants, Order], Awaitable[Answer]]
    is_needed: Callable[[Order], bool] = always


@dataclass(frozen=True, slots=True)
class Decision:
    """One that order carries out itself, in the transaction of the step before. Told why, when it undoes."""

    name: str
    decide: Callable[[Order, str], OrderEvent]


Command = Call | Decision


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work at an order's saga, until somebody else gets a later epoch."""

    order_id: UUID
    epoch: int


@dataclass(frozen=True, slots=True)
class Run:
    """A saga that somebody works at.

    `attempts` at what comes next were in vain, which has been next for `seconds`.
    """

    claim: Claim
    order: Order
    log: Log
    traceparent: str
    attempts: int = 0
    seconds: float = 0.0

    def advanced(self, order: Order, entries: Sequence[Entry]) -> "Run":
        """When `entries` have been added to its log."""
        return replace(self, order=order, log=(*self.log, *entries), attempts=0, seconds=0.0)


@dataclass(frozen=True, slots=True)
class Overview:
    """All sagas that have not ended: how many, how many are stuck, and the age of the oldest in seconds."""

    running: int
    stuck: int
    oldest_seconds: float


# What the use cases need


class SagaRepository(Protocol):
    """Where the logs of sagas are kept. Every method raises Unavailable while that place is away."""

    async def until_ready(self) -> None:
        """Return once that place can be used for the first time."""

    def unit_of_work(self, what: str = "") -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does. `what` names it."""

    async def begin(self, order: Order, entries: Sequence[Entry], seconds: float) -> Run:
        """The saga of a new order, claimed for `seconds`; with 0 it is due now, for anybody."""

    async def claim_due(self, limit: int, seconds: float) -> list[Claim]:
        """Up to `limit` that are due, the longest ago first; for `seconds` they are nobody else's."""

    async def load(self, claim: Claim) -> Run | None:
        """The saga. None when the claim is worth nothing any more, or the saga has ended."""

    async def log_of(self, order_id: UUID) -> Log:
        """The saga's log, whoever works at it. Empty where an order has no saga."""

    async def hold(self, run: Run) -> bool:
        """Nobody else writes to the saga or its order until the unit of work, which must be open, has ended.

        False when the claim is worth nothing any more, or the log is another by now.
        """

    async def advance(self, run: Run, entries: Sequence[Entry], seconds: float | None) -> None:
        """Add `entries` to the log of a saga that is held. The claim lasts for `seconds` from now.

        None: the saga has ended.
        """

    async def turn_back(self, order_id: UUID, log: Log, entry: Entry) -> None:
        """Add `entry` to `log`; the saga is due now, and no claim is worth anything.

        The order must be held.
        """

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call `act` once the unit of work has taken effect."""

    async def postpone(self, claim: Claim, seconds: float, problem: str) -> None:
        """Give the claim back: due again in `seconds`. One more attempt was in vain because of `problem`."""

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """Due now, for anybody, those of them that are still worth something."""

    async def hurry(self, order_id: UUID) -> bool:
        """Due now, whatever its pauses. False where no such saga is running."""

    async def overview(self, stuck_after: float) -> Overview:
        """Stuck is what has been waiting for one answer for so many seconds."""
