"""A database with outbox, inbox and dead letters, and a table for effects."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.config import CHECKOUT, Secret
from shared.db.database import Database
from tests.engines import Engines
from tests.services.databases import emptied, opened

EVENT_TABLES = ("0002_create_outbox", "0003_create_inbox")
EFFECTS = "CREATE TABLE effects (number serial PRIMARY KEY, subject text NOT NULL, version bigint NOT NULL)"


@pytest.fixture(scope="session")
def event_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of migrations: those that services have, and `effects`."""
    folder = tmp_path_factory.mktemp("event_tables")
    (folder / "0001_create_effects.sql").write_text(EFFECTS)
    for name in EVENT_TABLES:
        shutil.copy(CHECKOUT / "services" / "order" / "migrations" / f"{name}.sql", folder)
    return folder


@pytest.fixture(scope="session")
def used_url(engines: Engines) -> Secret:
    """One database for all tests."""
    return engines.new_database()


@pytest.fixture
def url(engines: Engines, used_url: Secret) -> Secret:
    """An empty database; its tables may be there already."""
    return emptied(engines, used_url)


@pytest.fixture
async def database(url: Secret, event_tables: Path) -> AsyncIterator[Database]:
    """The database, migrated."""
    async with opened(url, event_tables) as database:
        yield database
