"""Running one statement: within the transaction that the task is in, or by itself."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from shared.db.database import Database

# Every identifier is below it: where a list that is newest first begins.
PAST_THE_NEWEST = UUID(int=2**128 - 1)

Values = Sequence[object] | Mapping[str, object]


async def execute(database: Database, statement: str, values: Values = ()) -> int:
    """How many rows it concerned."""
    async with database.connection() as connection:
        return (await _cursor(connection, statement, values)).rowcount


async def one(database: Database, query: str, values: Values = ()) -> TupleRow | None:
    """The first row that it finds."""
    async with database.connection() as connection:
        return await (await _cursor(connection, query, values)).fetchone()


async def every(database: Database, query: str, values: Values = ()) -> list[TupleRow]:
    """All rows that it finds."""
    async with database.connection() as connection:
        return await (await _cursor(connection, query, values)).fetchall()


async def now(database: Database) -> datetime:
    """The database's clock, which all processes of a service share."""
    row = await one(database, "SELECT clock_timestamp()")
    assert row is not None
    moment: datetime = row[0]
    return moment


async def _cursor(connection: Any, statement: str, values: Values) -> psycopg.AsyncCursor[TupleRow]:
    cursor: psycopg.AsyncCursor[TupleRow] = await connection.execute(statement, values)
    return cursor
