"""What the database itself guarantees, whatever the code above it does."""

from uuid import UUID

import psycopg
import pytest

from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService
from shared.db.database import Database
from tests.services.inventory.conftest import LIFETIME

TEA, ADMIN = UUID(int=1), UUID(int=0xAD)


@pytest.fixture(autouse=True)
async def _tea(database: Database) -> None:
    await InventoryService(PostgresInventoryRepository(database), LIFETIME).count(TEA, 10, ADMIN)


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
