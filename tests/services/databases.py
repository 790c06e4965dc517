"""A service's database for a test: emptied, migrated, and with all of its connections where that matters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from shared.config import Secret
from shared.db.database import POOL_SIZE, Database
from tests.engines import Engines

MIGRATION_SECONDS = 20.0

# What migrations have filled stays, and so do the tables: to make them again would take ten times as long.
# Only where no trigger fires can every table be emptied, whatever order the keys between them ask for.
EMPTY = """
    SET session_replication_role = replica;
    DO $$
    DECLARE
        filled CONSTANT text[] := ARRAY['schema_migrations', 'movement_kinds'];
        it text;
    BEGIN
        FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> ALL (filled)
        LOOP EXECUTE format('DELETE FROM %I', it); END LOOP;
        FOR it IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'
        LOOP EXECUTE format('ALTER SEQUENCE %I RESTART', it); END LOOP;
    END $$"""


def emptied(engines: Engines, url: Secret) -> Secret:
    """The database, with what its migrations have made and nothing else."""
    engines.superuser(url.value.rpartition("/")[2]).execute(EMPTY)
    return url


@asynccontextmanager
async def opened(url: Secret, migrations: Path, *, for_a_race: bool = False) -> AsyncIterator[Database]:
    """The database, migrated. In a race the first would otherwise run alone, until others are connected."""
    async with Database(url, migrations) as database:
        async with asyncio.timeout(MIGRATION_SECONDS):
            await database.wait_until_migrated()
        if for_a_race:
            await _connect_all(database)
        yield database


@asynccontextmanager
async def refusing_rows(database: Database, table: str) -> AsyncIterator[None]:
    """`table` takes no row while the block runs: whoever writes one gets CheckViolation."""
    await _execute(database, f"ALTER TABLE {table} ADD CONSTRAINT no_more CHECK (false) NOT VALID")
    try:
        yield
    finally:
        await _execute(database, f"ALTER TABLE {table} DROP CONSTRAINT no_more")


async def _execute(database: Database, statement: str) -> None:
    async with database.connection() as connection:
        await connection.execute(statement.encode())


async def _connect_all(database: Database) -> None:
    async with AsyncExitStack() as held:
        for _ in range(POOL_SIZE):
            await held.enter_async_context(database.connection())
