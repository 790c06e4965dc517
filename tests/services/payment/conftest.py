from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import psycopg
import pytest

from services.payment.domain.ledger import PaymentRepository
from services.payment.domain.payments import amount_rules
from services.payment.main import MIGRATIONS, NAME
from services.payment.repository import PostgresPaymentRepository
from services.payment.service import PaymentService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.events.outbox import Outbox
from shared.rules import Rule
from tests.engines import Engines
from tests.services.databases import opened
from tests.services.payment.memory_repository import MemoryPaymentRepository


@contextmanager
def superuser(engines: Engines, url: Secret) -> Iterator[psycopg.Connection]:
    """A connection to the database of `url` for which no trigger fires."""
    name = url.value.rpartition("/")[2]
    with psycopg.connect(engines.superuser_url.value, dbname=name, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection


@pytest.fixture
def rules() -> Mapping[str, Rule]:
    return amount_rules("KRW", CURRENCY_CODES)


@pytest.fixture
async def database(database_url: Secret, is_race: bool) -> AsyncIterator[Database]:
    async with opened(database_url, MIGRATIONS, for_a_race=is_race) as database:
        yield database


def payments_in(database: Database) -> PostgresPaymentRepository:
    return PostgresPaymentRepository(database, Outbox(database, NAME))


@pytest.fixture
def memory() -> MemoryPaymentRepository:
    return MemoryPaymentRepository()


@pytest.fixture(params=["memory", "postgres"])
def repository(request: pytest.FixtureRequest) -> PaymentRepository:
    """The fake and the real thing, one after the other."""
    if request.param == "memory":
        kept: MemoryPaymentRepository = request.getfixturevalue("memory")
        return kept
    return payments_in(request.getfixturevalue("database"))


@pytest.fixture
def payments(repository: PaymentRepository, rules: Mapping[str, Rule]) -> PaymentService:
    return PaymentService(repository, "KRW", rules)
