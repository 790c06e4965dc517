"""Where orders and their sagas are kept, and what can be done there."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from uuid import UUID

from services.order.domain.fulfilment import Command, SagaRepository
from services.order.domain.orders import Asker, Order, OrderItem, OrderRepository, OrderStatus
from services.order.saga import ORDER_SAGA, PATIENCE
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import OrderService, now
from shared.ids import new_id
from shared.money import Money
from shared.saga import Saga
from shared.tasks import background
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import FakeParticipants
from tests.waiting import eventually

ALICE = Asker(UUID(int=0xA))
CONFIRMED, CANCELLED, PENDING = OrderStatus.CONFIRMED, OrderStatus.CANCELLED, OrderStatus.PENDING
WAIT_SECONDS = 20.0  # what ends at once may take so long on a busy machine
LEASE_SECONDS = 60.0  # whoever works at a saga here does not die, unless the test says so
SHORT = 0.05  # seconds of a patience, or a lease, that is meant to run out


def at_work(orchestrator: Orchestrator) -> AbstractAsyncContextManager[object]:
    """It takes sagas up while the block runs."""
    return background(orchestrator.run(), "orchestrator")


@dataclass
class Place:
    """Each orchestrator is one process. They share `participants`, unless told otherwise."""

    orders: OrderRepository
    sagas: SagaRepository
    participants: FakeParticipants = field(default_factory=FakeParticipants)

    def orchestrator(
        self,
        participants: FakeParticipants | None = None,
        patience: float = PATIENCE,
        lease: float = LEASE_SECONDS,
        is_leaving: Callable[[], bool] = bool,
    ) -> Orchestrator:
        those = (participants or self.participants).both
        return Orchestrator(with_patience(patience), self.orders, self.sagas, those, lease, is_leaving)

    async def placed(self, price: int = 9_800, by: Orchestrator | None = None) -> Order:
        """A new order. Nobody works at it yet, unless it is placed by an orchestrator that is at work."""
        total = Money(price, "KRW")
        items = (OrderItem(UUID(int=1), "Tea", 1, total),)
        draft = Order(new_id(), ALICE.user_id, items, total, now())
        return await (by or self.orchestrator()).begin(draft)

    async def cancel(self, order: Order) -> Order:
        """As its owner."""
        service = OrderService(self.orders, FakeCatalogue(), self.orchestrator(), {}, "KRW")
        return await service.cancel(order.order_id, ALICE)

    async def final(self, order: Order) -> Order:
        """The order, once it is final."""
        found = await self.orchestrator().wait(order.order_id, WAIT_SECONDS)
        assert found.is_final
        log = await self.sagas.log_of(order.order_id)
        assert ORDER_SAGA.state(log).next is None
        return found

    async def ended(self, order: Order) -> Order:
        """The order, once it is final, as all others are by then."""
        found = await self.final(order)
        assert (await self.sagas.overview(0.0)).running == 0
        return found

    async def end(self, order: Order) -> Order:
        """Let somebody bring it to its end."""
        async with at_work(self.orchestrator()):
            return await self.ended(order)

    @asynccontextmanager
    async def held_up(self, call: str) -> AsyncIterator[Order]:
        """An order that an orchestrator works at, as far as `call`; that is answered behind the block."""
        order, may_go_on = await self.placed(), self.participants.hold_up(call)
        async with at_work(self.orchestrator()):
            await eventually(lambda: call in self.participants.asked, WAIT_SECONDS)
            yield order
            may_go_on.set()
            await self.ended(order)


def with_patience(seconds: float) -> Saga[Command]:
    return Saga(tuple(replace(step, patience=seconds) for step in ORDER_SAGA.steps))


def calls(participants: FakeParticipants) -> list[str]:
    """In their order; one that was repeated, once."""
    return [call for call, _ in groupby(participants.asked)]


def outcome(order: Order) -> tuple[OrderStatus, str]:
    return order.status, order.reason
