"""What is PostgreSQL's alone: how rows lie, and what the database itself refuses, whatever asks it."""

from dataclasses import replace
from uuid import UUID

import psycopg
import pytest
from shop.order.v1 import events_pb2 as messages

from services.order.domain.orders import Order, OrderCancelled, OrderItem, OrderPlaced, OrderStatus
from services.order.events import order_message
from services.order.repository.orders import PostgresOrderRepository
from shared.db.database import Database
from shared.errors import Conflict
from shared.events.envelope import unseal
from shared.money import MAX_AMOUNT, Money
from tests.services.databases import refusing_rows
from tests.services.events import in_the_outbox
from tests.services.order.conftest import MILK, NOON, TEA, orders_in

ALICE = UUID(int=0xA)
ITEMS = (OrderItem(TEA.product_id, "Tea", 2, TEA.price), OrderItem(MILK.product_id, "Milk", 1, MILK.price))
ORDER = Order(UUID(int=1), ALICE, ITEMS, Money(22_100, "KRW"), NOON)
CANCELLED = replace(ORDER, status=OrderStatus.CANCELLED, reason="requested", version=2)


@pytest.fixture
async def repository(database: Database) -> PostgresOrderRepository:
    """With one order."""
    orders = orders_in(database)
    await orders.record(OrderPlaced(ORDER))
    return orders


async def run(database: Database, query: str) -> None:
    async with database.connection() as connection:
        await connection.execute(query.encode())


async def test_items_keep_their_order_however_they_are_found(
    repository: PostgresOrderRepository, database: Database
) -> None:
    await run(database, "UPDATE order_items SET quantity = quantity WHERE position = 0")  # now it lies last
    async with database.transaction() as connection:
        for way in ("indexscan", "bitmapscan"):
            await connection.execute(f"SET LOCAL enable_{way} = off".encode())
        assert await repository.get(ORDER.order_id) == ORDER
        assert await repository.page(None, None, 10) == [ORDER]


async def test_each_order_has_its_own_items(repository: PostgresOrderRepository) -> None:
    other = Order(UUID(int=2), ALICE, ITEMS[:1], Money(MAX_AMOUNT, "KRW"), NOON)
    await repository.record(OrderPlaced(other))
    assert await repository.page(ALICE, None, 10) == [other, ORDER]


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize(
    "query",
    [
        "UPDATE orders SET amount = -1",
        "UPDATE orders SET status = 'LOST'",
        "UPDATE orders SET status = 'CANCELLED'",
        "UPDATE orders SET reason = 'requested'",
        "UPDATE orders SET version = 0",
        "UPDATE order_items SET quantity = 0",
        "UPDATE order_items SET amount = -1",
        "UPDATE order_items SET product_id = '00000000-0000-0000-0000-000000000001'",
        "DELETE FROM orders",
    ],
    ids=[
        "a negative total",
        "an unknown status",
        "no reason",
        "a reason for nothing",
        "no version",
        "no pieces",
        "a negative price",
        "a product twice",
        "items of no order",
    ],
)
async def test_the_database_refuses(database: Database, query: str) -> None:
    with pytest.raises(psycopg.errors.IntegrityError):
        await run(database, query)


# Reports


async def test_what_is_recorded_is_reported(repository: PostgresOrderRepository, database: Database) -> None:
    await repository.record(OrderCancelled(CANCELLED))
    placed, cancelled = await in_the_outbox(database)
    assert {each.source for each in (placed, cancelled)} == {"/order"}
    assert {each.subject for each in (placed, cancelled)} == {str(ORDER.order_id)}
    assert unseal(placed, messages.OrderPlaced).order == order_message(ORDER)
    assert unseal(cancelled, messages.OrderCancelled).order == order_message(CANCELLED)


async def test_what_cannot_be_reported_is_not_recorded(
    repository: PostgresOrderRepository, database: Database
) -> None:
    async with refusing_rows(database, "outbox"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await repository.record(OrderCancelled(CANCELLED))
        with pytest.raises(psycopg.errors.CheckViolation):
            await repository.record(OrderPlaced(replace(ORDER, order_id=UUID(int=2))))
    assert await repository.page(None, None, 10) == [ORDER]


async def test_what_cannot_be_recorded_is_not_reported(
    repository: PostgresOrderRepository, database: Database
) -> None:
    with pytest.raises(Conflict):
        await repository.record(OrderPlaced(ORDER))
    assert len(await in_the_outbox(database)) == 1


async def test_a_unit_of_work_that_fails_leaves_neither(
    repository: PostgresOrderRepository, database: Database
) -> None:
    async def cancel_and_fail() -> None:
        async with repository.unit_of_work():
            await repository.record(OrderCancelled(CANCELLED))
            assert len(await in_the_outbox(database)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel_and_fail()
    assert await repository.get(ORDER.order_id) == ORDER
    assert len(await in_the_outbox(database)) == 1
