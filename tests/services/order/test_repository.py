"""What is PostgreSQL's alone: how rows lie, and what the database itself refuses, whatever asks it."""

from uuid import UUID

import psycopg
import pytest

from services.order.domain import Order, OrderItem, OrderPlaced
from services.order.repository import PostgresOrderRepository
from shared.db.database import Database
from shared.money import MAX_AMOUNT, Money
from tests.services.order.conftest import MILK, NOON, TEA

ALICE = UUID(int=0xA)
ITEMS = (OrderItem(TEA.product_id, "Tea", 2, TEA.price), OrderItem(MILK.product_id, "Milk", 1, MILK.price))
ORDER = Order(UUID(int=1), ALICE, ITEMS, Money(22_100, "KRW"), NOON)


@pytest.fixture
async def repository(database: Database) -> PostgresOrderRepository:
    """With one order."""
    orders = PostgresOrderRepository(database)
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
