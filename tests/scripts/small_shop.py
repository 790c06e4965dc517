"""A shop in one process, on its own databases: order's orchestrator beside inventory, payment and chat.

What it writes is what the services write. Its databases are named by settings, as those of real services are.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.chat.domain.messages import Draft
from services.chat.domain.rooms import Asker
from services.chat.repository.messages import PostgresMessageRepository
from services.chat.repository.rooms import PostgresRoomRepository
from services.chat.service.messages import MessageService
from services.chat.service.rooms import RoomService
from services.inventory.domain.outcomes import CommitOutcome, ReserveOutcome
from services.inventory.domain.reservations import Item
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService
from services.order.clients import payment_of, reservation_of
from services.order.domain.fulfilment import DONE, Answer, Participants
from services.order.domain.orders import Order, OrderItem
from services.order.repository.orders import PostgresOrderRepository
from services.order.repository.sagas import PostgresSagaRepository
from services.order.saga import ORDER_SAGA
from services.order.service.orchestrator import Orchestrator
from services.payment.domain.payments import Charge, ChargeOutcome, amount_rules
from services.payment.repository import PostgresPaymentRepository
from services.payment.service import PaymentService
from shared.config import CHECKOUT, Environment
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.events.outbox import Outbox
from shared.ids import new_id
from shared.money import Money
from shared.tasks import background
from tests.engines import Engines
from tests.services.databases import opened

NAMES = ("order", "inventory", "payment", "product", "chat")
SECONDS = 20.0
MOST = 100  # orders


def new_databases(engines: Engines) -> dict[str, str]:
    """The settings that name fresh databases for NAMES."""
    return {f"DATABASE_URL_{name.upper()}": engines.new_database().value for name in NAMES}


class Neighbours:
    """The domain's Inventory and Wallets: the real services, without a network between."""

    def __init__(self, inventory: InventoryService, payment: PaymentService) -> None:
        self._inventory = inventory
        self._payment = payment

    async def reserve(self, order: Order) -> Answer:
        items = [Item(each.product_id, each.quantity) for each in order.items]
        answer = await self._inventory.reserve(UUID(reservation_of(order.order_id)), items)
        return DONE if answer.outcome is ReserveOutcome.RESERVED else Answer("out_of_stock")

    async def release(self, order: Order) -> Answer:
        await self._inventory.release(UUID(reservation_of(order.order_id)))
        return DONE

    async def commit(self, order: Order) -> Answer:
        outcome = await self._inventory.commit(UUID(reservation_of(order.order_id)))
        return DONE if outcome is CommitOutcome.COMMITTED else Answer("reservation_expired")

    async def charge(self, order: Order) -> Answer:
        charge = Charge(UUID(payment_of(order.order_id)), order.user_id, order.total)
        is_charged = await self._payment.charge(charge) is ChargeOutcome.CHARGED
        return DONE if is_charged else Answer("payment_declined")

    async def refund(self, order: Order) -> Answer:
        await self._payment.refund(UUID(payment_of(order.order_id)))
        return DONE


class SmallShop:
    """What an admin and the users of a shop do, and what they say."""

    def __init__(self, databases: dict[str, Database], reserved_for: timedelta) -> None:
        self.databases = databases
        repository = PostgresInventoryRepository(databases["inventory"], self._outbox("inventory"))
        self.inventory = InventoryService(repository, reserved_for)
        wallets = PostgresPaymentRepository(databases["payment"], self._outbox("payment"))
        self.payment = PaymentService(wallets, "KRW", amount_rules("KRW", CURRENCY_CODES))
        rooms = PostgresRoomRepository(databases["chat"], self._outbox("chat"))
        self.rooms = RoomService(rooms)
        messages = PostgresMessageRepository(databases["chat"], self._outbox("chat"))
        self.messages = MessageService(rooms, messages)
        self.orders = PostgresOrderRepository(databases["order"], self._outbox("order"))
        neighbours = Neighbours(self.inventory, self.payment)
        self.orchestrator = Orchestrator(
            ORDER_SAGA,
            self.orders,
            PostgresSagaRepository(databases["order"], self.orders),
            Participants(neighbours, neighbours),
            lease_seconds=SECONDS,
        )

    async def place(self, user_id: UUID, product_id: UUID, quantity: int, price: int) -> UUID:
        """An order, whose saga nobody works at unless the orchestrator runs."""
        unit_price = Money(price, "KRW")
        items = (OrderItem(product_id, "Tea", quantity, unit_price),)
        draft = Order(new_id(), user_id, items, Money(price * quantity, "KRW"), datetime.now(UTC))
        return (await self.orchestrator.begin(draft)).order_id

    async def talk(self, user_id: UUID, messages: int) -> UUID:
        """A room of the user's, in which so much has been said."""
        room = await self.rooms.create(Asker(user_id), "Tea")
        for number in range(messages):
            draft = Draft(room.room_id, str(number), "Hello", "Ann")
            await self.messages.post(Asker(user_id), draft)
        return room.room_id

    async def call_off(self, order_id: UUID) -> None:
        """As its owner wishes."""
        async with self.orders.unit_of_work():
            order = await self.orders.hold(order_id)
            assert order is not None
            await self.orchestrator.call_off(order)

    async def make_older_than_sagas(self, order_id: UUID) -> None:
        """As orders were that had been cancelled before there were any."""
        async with self.databases["order"].transaction() as connection:
            await connection.execute("DELETE FROM saga_log WHERE order_id = %s", [order_id])
            await connection.execute("DELETE FROM sagas WHERE order_id = %s", [order_id])
            cancel = "UPDATE orders SET (status, reason) = ('CANCELLED', 'requested') WHERE order_id = %s"
            await connection.execute(cancel, [order_id])

    async def finish(self) -> None:
        """Bring all orders to their end."""
        async with background(self.orchestrator.run(), "orchestrator"):
            placed = await self.orders.page(None, None, MOST)
            ends = (self.orchestrator.wait(order.order_id, SECONDS) for order in placed)
            assert all(order.is_final for order in await asyncio.gather(*ends))

    def _outbox(self, name: str) -> Outbox:
        return Outbox(self.databases[name], name)


@asynccontextmanager
async def small_shop(
    environment: Environment, reserved_for: timedelta = timedelta(minutes=5)
) -> AsyncIterator[SmallShop]:
    """The shop while the block runs; goods are set aside for so long."""
    async with AsyncExitStack() as stack:
        databases = {
            name: await stack.enter_async_context(
                opened(environment.database_url(name), CHECKOUT / "services" / name / "migrations")
            )
            for name in NAMES
        }
        yield SmallShop(databases, reserved_for)
