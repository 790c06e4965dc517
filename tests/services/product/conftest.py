import asyncio
from collections.abc import AsyncIterator, Mapping

import pytest

from services.product.domain import ProductRepository, product_rules
from services.product.main import MIGRATIONS
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.rules import Rule
from tests.engines import Engines
from tests.services.product.memory_repository import MemoryProductRepository

MIGRATION_SECONDS = 20.0


@pytest.fixture
def rules() -> Mapping[str, Rule]:
    return product_rules("KRW", CURRENCY_CODES)


@pytest.fixture
def database_url(engines: Engines) -> Secret:
    return engines.new_database()


@pytest.fixture
async def database(database_url: Secret) -> AsyncIterator[Database]:
    async with Database(database_url, MIGRATIONS) as opened:
        async with asyncio.timeout(MIGRATION_SECONDS):
            await opened.wait_until_migrated()
        yield opened


@pytest.fixture
def memory() -> MemoryProductRepository:
    return MemoryProductRepository()


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> ProductRepository:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: MemoryProductRepository = request.getfixturevalue("memory")
        return kept
    return PostgresProductRepository(request.getfixturevalue("database"))


@pytest.fixture
def products(repository: ProductRepository, rules: Mapping[str, Rule]) -> ProductService:
    return ProductService(repository, rules)
