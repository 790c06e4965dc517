"""A service's database as it is at one moment, to be read and nothing else.

The service's own role is used, so nothing is seen that the service could not see. A snapshot is one
transaction, REPEATABLE READ and READ ONLY: it sees none of the changes that go on, and nobody waits for it.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from uuid import uuid4

import psycopg
from psycopg.rows import TupleRow

from scripts.support.failures import SetupError
from shared.config import Environment
from shared.db.pool import CONNECT_SECONDS, check_url, one_line

COULD_NOT_LOOK = 2  # the exit status; 1 says that something is wrong
ROWS_AT_ONCE = 1_000


class Snapshot:
    """What the database of the service `name` held at one moment. Every method raises SetupError."""

    def __init__(self, connection: psycopg.Connection[TupleRow], name: str) -> None:
        self._connection = connection
        self._name = name
        self.every("SELECT")  # the first query of a transaction fixes what all of them see

    def every(self, query: str, values: Sequence[object] | None = None) -> list[TupleRow]:
        """All rows."""
        with _looking_at(self._name):
            return self._connection.execute(query.encode(), values).fetchall()

    def batches(self, query: str, values: Sequence[object] | None = None) -> Iterator[list[TupleRow]]:
        """All rows, ROWS_AT_ONCE at a time; the others wait at the server."""
        with _looking_at(self._name), self._connection.cursor(name=str(uuid4())) as cursor:
            cursor.execute(query.encode(), values)
            while batch := cursor.fetchmany(ROWS_AT_ONCE):
                yield batch


@contextmanager
def snapshot(environment: Environment, name: str) -> Iterator[Snapshot]:
    """The database of the service `name` as it is now, while the block lasts. Raises SetupError."""
    url = environment.database_url(name)
    check_url(url, f"DATABASE_URL_{name.upper()}")
    with _looking_at(name):
        connection = psycopg.connect(url.value, connect_timeout=CONNECT_SECONDS)
    with closing(connection):  # there is nothing to commit, and the server may have gone
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield Snapshot(connection, name)


@contextmanager
def _looking_at(name: str) -> Iterator[None]:
    try:
        yield
    except psycopg.Error as failure:
        message = f"the database of {name} cannot be looked at: {one_line(failure)}"
        raise SetupError(message, COULD_NOT_LOOK) from failure
