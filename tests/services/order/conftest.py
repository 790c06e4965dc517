from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.order.domain import Article, OrderRepository, order_rules
from services.order.main import MIGRATIONS
from services.order.repository import PostgresOrderRepository
from services.order.service import OrderService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.money import Money
from shared.rules import Rule
from tests.services.databases import opened
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.memory_repository import MemoryOrderRepository

NOON = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)

TEA = Article(UUID(int=1), "Tea", Money(9_800, "KRW"), archived=False)
MILK = Article(UUID(int=2), "Milk 🥛", Money(2_500, "KRW"), archived=False)
OLD = Article(UUID(int=3), "Old cheese", Money(100, "KRW"), archived=True)
ABROAD = Article(UUID(int=4), "Tea", Money(700, "USD"), archived=False)
UNKNOWN = UUID(int=5)


@pytest.fixture
def rules() -> Mapping[str, Rule]:
    return order_rules("KRW", CURRENCY_CODES)


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


@pytest.fixture
def memory() -> MemoryOrderRepository:
    return MemoryOrderRepository()


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> OrderRepository:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: MemoryOrderRepository = request.getfixturevalue("memory")
        return kept
    return PostgresOrderRepository(request.getfixturevalue("database"))


@pytest.fixture
def catalogue() -> FakeCatalogue:
    return FakeCatalogue(TEA, MILK, OLD, ABROAD)


@pytest.fixture
def orders(repository: OrderRepository, catalogue: FakeCatalogue, rules: Mapping[str, Rule]) -> OrderService:
    return OrderService(repository, catalogue, rules, "KRW", lambda: NOON)
