"""A service's database for a command of the operator, who wants to know within seconds when it is away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from scripts.support.failures import SetupError
from shared.config import Environment
from shared.db.database import Database
from shared.errors import Unavailable

DATABASE_SECONDS = 5.0  # how long we wait for it to answer and to have its schema


@asynccontextmanager
async def opened_database(environment: Environment, name: str, migrations: Path) -> AsyncIterator[Database]:
    """The database of the service `name` while the block runs. SetupError when it cannot be used."""
    try:
        async with Database(environment.database_url(name), migrations) as database:
            await _wait_for(database)
            yield database
    except Unavailable as away:
        raise SetupError(f"the database of {name} cannot be used: {away.detail}") from away


async def _wait_for(database: Database) -> None:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await database.wait_until_migrated()
    except TimeoutError:
        await database.check()  # raises, saying why
