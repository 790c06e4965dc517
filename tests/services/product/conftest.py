from collections.abc import AsyncIterator, Mapping

import pytest

from services.product.domain import ProductRepository, product_rules
from services.product.main import MIGRATIONS, NAME
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.events.outbox import Outbox
from shared.rules import Rule
from tests.services.databases import opened
from tests.services.product.memory_repository import MemoryProductRepository


@pytest.fixture
def rules() -> Mapping[str, Rule]:
    return product_rules("KRW", CURRENCY_CODES)


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


@pytest.fixture
def memory() -> MemoryProductRepository:
    return MemoryProductRepository()


@pytest.fixture
def postgres(database: Database) -> PostgresProductRepository:
    return PostgresProductRepository(database, Outbox(database, NAME))


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> ProductRepository:
    """The fake and the real thing, one after the other."""
    kept: ProductRepository = request.getfixturevalue(request.param)
    return kept


@pytest.fixture
def products(repository: ProductRepository, rules: Mapping[str, Rule]) -> ProductService:
    return ProductService(repository, rules)
