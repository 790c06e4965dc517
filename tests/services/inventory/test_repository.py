"""What the database itself guarantees, whatever the code above it does."""

from datetime import timedelta
from uuid import UUID

import psycopg
import pytest
from shop.inventory.v1.events_pb2 import StockChanged

from services.inventory.domain.outcomes import CommitOutcome
from services.inventory.domain.reservations import Item
from services.inventory.domain.stock import Stock
from services.inventory.service import InventoryService, StockOpening
from shared.db.database import Database
from shared.events.envelope import unseal
from tests.services.databases import refusing_rows
from tests.services.events import in_the_outbox
from tests.services.inventory.conftest import LIFETIME, inventory_in

TEA, ADMIN = UUID(int=1), UUID(int=0xAD)


@pytest.fixture(autouse=True)
async def _tea(database: Database) -> None:
    await InventoryService(inventory_in(database), LIFETIME).count(TEA, 10, ADMIN)


async def execute(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode())


@pytest.mark.parametrize(
    "change", ["on_hand = -1", "reserved = -1", "reserved = 11", "on_hand = 9007199254740992"]
)
async def test_stock_is_never_negative_nor_promised_twice(database: Database, change: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await execute(database, f"UPDATE stock SET {change}")


@pytest.mark.parametrize(
    "statement", ["UPDATE movements SET difference = 1", "DELETE FROM movements", "TRUNCATE movements"]
)
async def test_the_books_are_append_only(database: Database, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await execute(database, statement)


@pytest.mark.parametrize("values", ["0, 10, 'set'", "1, -1, 'set'", "1, 1, 'stolen'", "1, 1, 'committed'"])
async def test_what_the_books_do_not_take(database: Database, values: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await execute(
            database,
            "INSERT INTO movements (product_id, set_by, difference, on_hand, reason) "
            f"VALUES ('{TEA}', '{ADMIN}', {values})",
        )


@pytest.mark.parametrize("values", ["'RESERVED', NULL, '{}'", "'REFUSED', NULL, '{}'", "'LOST', NULL, '{}'"])
async def test_what_is_no_reservation(database: Database, values: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await execute(
            database,
            "INSERT INTO reservations (reservation_id, status, expires_at, short_product_ids) "
            f"VALUES ('{ADMIN}', {values})",
        )


async def test_what_is_due_is_found_by_an_index(database: Database) -> None:
    query = """
        EXPLAIN SELECT reservation_id FROM reservations WHERE status = 'RESERVED' AND expires_at <= now()
        ORDER BY expires_at LIMIT 20 FOR UPDATE SKIP LOCKED"""
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        rows = await (await connection.execute(query)).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert "Index Cond: (expires_at <= now())" in plan
    assert "Sort" not in plan


# Reports


FIRST = UUID(int=1001)


@pytest.fixture
def stock(database: Database) -> InventoryService:
    return InventoryService(inventory_in(database), LIFETIME)


async def told(database: Database) -> list[str]:
    """The kinds of event in the outbox, and what each is about."""
    envelopes = await in_the_outbox(database)
    assert {each.source for each in envelopes} == {"/inventory"}
    return [f"{each.type.rpartition('.')[2]} {UUID(each.subject).int}" for each in envelopes]


async def test_what_becomes_of_a_reservation_is_reported_with_its_stock(
    database: Database, stock: InventoryService
) -> None:
    await stock.reserve(FIRST, [Item(TEA, 3)])
    await stock.commit(FIRST)
    await stock.reserve(UUID(int=1002), [Item(TEA, 30)])
    await stock.release(UUID(int=1003))
    assert await told(database) == [
        "StockChanged 1",
        "StockReserved 1001",
        "StockChanged 1",
        "StockCommitted 1001",
        "StockChanged 1",
        "StockReservationRefused 1002",
        "StockReleased 1003",
    ]
    *_, last = [each for each in await in_the_outbox(database) if each.subject == str(TEA)]
    told_last = unseal(last, StockChanged).stock
    assert (told_last.on_hand, told_last.reserved, told_last.version) == (7, 0, 3)


async def test_what_expires_is_reported(database: Database) -> None:
    hasty = InventoryService(inventory_in(database), timedelta(0))
    for number in (1001, 1002):
        await hasty.reserve(UUID(int=number), [Item(TEA, 1)])
    await execute(database, "DELETE FROM outbox")
    assert await hasty.expire_due() == 2
    assert await told(database) == [
        "StockReservationExpired 1001",
        "StockChanged 1",
        "StockReservationExpired 1002",
        "StockChanged 1",
    ]


async def test_what_is_asked_again_is_reported_once(database: Database, stock: InventoryService) -> None:
    for _ in range(2):
        await stock.reserve(FIRST, [Item(TEA, 3)])
        await stock.count(TEA, 10, ADMIN)
    for _ in range(2):
        await stock.release(FIRST)
    kinds = [each.partition(" ")[0] for each in await told(database)]
    assert kinds == ["StockChanged", "StockReserved", "StockChanged", "StockReleased", "StockChanged"]


async def test_what_cannot_be_reported_does_not_happen(database: Database, stock: InventoryService) -> None:
    async with refusing_rows(database, "outbox"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await stock.reserve(FIRST, [Item(TEA, 3)])
        with pytest.raises(psycopg.errors.CheckViolation):
            await stock.count(TEA, 11, ADMIN)
    assert await stock.get(TEA) == Stock(TEA, 10, 0, version=1)
    assert await stock.commit(FIRST) is CommitOutcome.NOT_RESERVED


async def test_a_unit_of_work_that_fails_reports_nothing(database: Database, stock: InventoryService) -> None:
    repository = inventory_in(database)

    async def open_and_fail() -> None:
        async with repository.unit_of_work():
            assert await StockOpening(repository).open(ADMIN)
            assert len(await told(database)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await open_and_fail()
    assert await stock.get_all([ADMIN]) == []
    assert await told(database) == ["StockChanged 1"]
