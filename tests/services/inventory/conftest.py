from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta

import pytest

from services.inventory.domain.reservations import InventoryRepository
from services.inventory.domain.stock import Movement, MovementReason
from services.inventory.main import MIGRATIONS, NAME
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService, StockOpening
from shared.config import Secret
from shared.db.database import Database
from shared.events.outbox import Outbox
from tests.services.databases import opened
from tests.services.inventory.memory_repository import MemoryInventoryRepository

LIFETIME = timedelta(seconds=900)

Books = Callable[[], Awaitable[list[Movement]]]


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


def inventory_in(database: Database) -> PostgresInventoryRepository:
    return PostgresInventoryRepository(database, Outbox(database, NAME))


@pytest.fixture
def memory() -> MemoryInventoryRepository:
    return MemoryInventoryRepository()


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> InventoryRepository:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: MemoryInventoryRepository = request.getfixturevalue("memory")
        return kept
    return inventory_in(request.getfixturevalue("database"))


@pytest.fixture
def inventory(repository: InventoryRepository) -> InventoryService:
    return InventoryService(repository, LIFETIME)


@pytest.fixture
def opening(repository: InventoryRepository) -> StockOpening:
    """The same inventory to the catalogue's events."""
    return StockOpening(repository)


@pytest.fixture
def hasty(repository: InventoryRepository) -> InventoryService:
    """The same inventory to whoever reserves for no time at all: what is set aside is due at once."""
    return InventoryService(repository, timedelta(0))


@pytest.fixture
def books(request: pytest.FixtureRequest, repository: InventoryRepository) -> Books:
    """All movements, in their order."""
    if isinstance(repository, MemoryInventoryRepository):
        return lambda: _written_in(repository)
    database: Database = request.getfixturevalue("database")
    return lambda: read_books(database)


async def _written_in(memory: MemoryInventoryRepository) -> list[Movement]:
    return list(memory.movements)


async def read_books(database: Database) -> list[Movement]:
    query = """
        SELECT product_id, difference, on_hand, reason, coalesce(set_by, reservation_id)
        FROM movements ORDER BY movement_id"""
    async with database.connection() as connection:
        rows = await (await connection.execute(query)).fetchall()
    return [Movement(row[0], row[1], row[2], MovementReason(row[3]), row[4]) for row in rows]
