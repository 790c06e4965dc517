from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.order.domain.articles import Article, ArticleRepository
from services.order.domain.orders import OrderRepository, order_rules
from services.order.main import MIGRATIONS, NAME
from services.order.repository import PostgresArticleRepository, PostgresOrderRepository
from services.order.service import OrderService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.events.outbox import Outbox
from shared.money import Money
from shared.rules import Rule
from tests.services.databases import opened
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.memory_repository import MemoryArticleRepository, MemoryOrderRepository

NOON = datetime(2026, 5, 1, 12, 0, 0, 123_456, tzinfo=UTC)

TEA = Article(UUID(int=1), "Tea", Money(9_800, "KRW"), archived=False, version=1)
MILK = Article(UUID(int=2), "Milk 🥛", Money(2_500, "KRW"), archived=False, version=1)
OLD = Article(UUID(int=3), "Old cheese", Money(100, "KRW"), archived=True, version=2)
ABROAD = Article(UUID(int=4), "Tea", Money(700, "USD"), archived=False, version=1)
UNKNOWN = UUID(int=5)


@pytest.fixture
def rules() -> Mapping[str, Rule]:
    return order_rules("KRW", CURRENCY_CODES)


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


def orders_in(database: Database) -> PostgresOrderRepository:
    return PostgresOrderRepository(database, Outbox(database, NAME))


@pytest.fixture
def memory() -> MemoryOrderRepository:
    return MemoryOrderRepository(MemoryArticleRepository())


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> OrderRepository:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: MemoryOrderRepository = request.getfixturevalue("memory")
        return kept
    return orders_in(request.getfixturevalue("database"))


@pytest.fixture
def articles(repository: OrderRepository, request: pytest.FixtureRequest) -> ArticleRepository:
    """The copies of the catalogue beside `repository`."""
    if isinstance(repository, MemoryOrderRepository):
        return repository.articles
    return PostgresArticleRepository(request.getfixturevalue("database"))


@pytest.fixture
def catalogue() -> FakeCatalogue:
    return FakeCatalogue(TEA, MILK, OLD, ABROAD)


@pytest.fixture
def orders(repository: OrderRepository, catalogue: FakeCatalogue, rules: Mapping[str, Rule]) -> OrderService:
    return OrderService(repository, catalogue, rules, "KRW", lambda: NOON)
