from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from uuid import UUID

import pytest

from services.order.domain.articles import Article, ArticleRepository
from services.order.domain.fulfilment import SagaRepository
from services.order.domain.orders import OrderRepository, order_rules
from services.order.main import MIGRATIONS, NAME
from services.order.repository.articles import PostgresArticleRepository
from services.order.repository.orders import PostgresOrderRepository
from services.order.repository.sagas import PostgresSagaRepository
from services.order.saga import ORDER_SAGA
from services.order.service import orchestrator as orchestrator_module
from services.order.service import workers
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import OrderService
from shared import saga as engine
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.events.outbox import Outbox
from shared.money import Money
from shared.rules import Rule
from tests.services.databases import opened
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import FakeParticipants
from tests.services.order.memory_repository import (
    Memory,
    MemoryArticleRepository,
    MemoryOrderRepository,
    MemorySagaRepository,
)
from tests.services.order.place import LEASE_SECONDS, Place

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


def sagas_in(database: Database) -> PostgresSagaRepository:
    return PostgresSagaRepository(database, orders_in(database))


@pytest.fixture
def memory() -> MemoryOrderRepository:
    return MemoryOrderRepository(Memory(), MemoryArticleRepository())


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
def sagas(repository: OrderRepository, request: pytest.FixtureRequest) -> SagaRepository:
    """The sagas beside `repository`."""
    if isinstance(repository, MemoryOrderRepository):
        return MemorySagaRepository(repository)
    return sagas_in(request.getfixturevalue("database"))


@pytest.fixture
def catalogue() -> FakeCatalogue:
    return FakeCatalogue(TEA, MILK, OLD, ABROAD)


@pytest.fixture
def participants() -> FakeParticipants:
    return FakeParticipants()


@pytest.fixture
def orchestrator(
    repository: OrderRepository, sagas: SagaRepository, participants: FakeParticipants
) -> Orchestrator:
    """Not at work: orders stay as they are until `at_work`."""
    return Orchestrator(ORDER_SAGA, repository, sagas, participants.both, LEASE_SECONDS)


@pytest.fixture
def place(memory: MemoryOrderRepository) -> Place:
    return Place(memory, MemorySagaRepository(memory))


@pytest.fixture(params=["memory", "postgres"])
def shared_place(request: pytest.FixtureRequest) -> Place:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: Place = request.getfixturevalue("place")
        return kept
    return place_in(request.getfixturevalue("database"))


def place_in(database: Database) -> Place:
    return Place(orders_in(database), sagas_in(database))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would wait for a moment waits for less."""
    monkeypatch.setattr(orchestrator_module, "FIRST_LOOK_SECONDS", 0.01)
    for seconds in ("POLL_SECONDS", "RETRY_SECONDS", "LAST_PAUSE_SECONDS"):
        monkeypatch.setattr(workers, seconds, 0.01)
    monkeypatch.setattr(engine, "FIRST_PAUSE_SECONDS", 0.002)
    monkeypatch.setattr(engine, "LAST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(engine, "FEWEST_ATTEMPTS", 1)


def orchestrator_in(database: Database, participants: FakeParticipants) -> Orchestrator:
    return Orchestrator(ORDER_SAGA, orders_in(database), sagas_in(database), participants.both, LEASE_SECONDS)


@pytest.fixture
def orders(
    repository: OrderRepository,
    catalogue: FakeCatalogue,
    orchestrator: Orchestrator,
    rules: Mapping[str, Rule],
) -> OrderService:
    return OrderService(repository, catalogue, orchestrator, rules, "KRW", lambda: NOON)
