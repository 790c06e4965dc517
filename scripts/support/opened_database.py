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
    """The database of the service `name` while the block runs, which asks nobody else.

    SetupError when it cannot be used, or no longer.
    """
    async with Database(environment.database_url(name), migrations) as database:
        await wait_for(database, name)
        try:
            yield database
        except Unavailable as away:
            raise _unusable(name, away) from away


async def wait_for(database: Database, name: str) -> None:
    """Until it answers and has its schema. SetupError when that takes longer than DATABASE_SECONDS."""
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await database.wait_until_migrated()
    except TimeoutError:
        try:
            await database.check()
        except Unavailable as away:
            raise _unusable(name, away) from away


def _unusable(name: str, away: Unavailable) -> SetupError:
    return SetupError(f"the database of {name} cannot be used: {away.detail}")
