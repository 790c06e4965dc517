"""A service's own database: usable, or honestly unavailable.

`transaction()` is the unit of work. It lives in a context variable, so repository, outbox and inbox join the
one that their caller has opened without ever being handed a connection. `connection()` is for one statement,
which PostgreSQL makes a transaction of its own when there is none to join. `session()` is for what lasts.

Entering the block never waits for the server. Migrations run in the background until they have succeeded;
before that, and whenever the server is away, every call raises Unavailable, and `check` says why.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

from shared.config import Secret
from shared.crash_points import crash_point
from shared.db.migrations import MigrationError, migrate, read_migrations
from shared.db.pool import (
    RETRY_AFTER_SECONDS,
    UNAVAILABLE,
    Connection,
    ConnectionPool,
    connect,
    database_errors,
    one_line,
)
from shared.errors import Unavailable
from shared.observability.trouble import IntermittentTrouble, Trouble
from shared.runtime import NeedsOperator
from shared.tasks import background

POOL_SIZE = 10  # PostgreSQL allows 100 connections by default; ten processes share them
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.1, 2.0  # between attempts to migrate, doubling
SESSION_SECONDS = 15  # a session is used every few seconds; one that is not has lost its process, or its host
ANSWER_SECONDS = 10.0  # for a statement over a session, whose link may have been cut without a word
_OWN_SESSION = f"SET idle_session_timeout = '{SESSION_SECONDS}s'".encode()

_log = logging.getLogger(__name__)


@asynccontextmanager
async def answering(seconds: float = ANSWER_SECONDS) -> AsyncIterator[None]:
    """What is asked over a session is answered in the block, or the block ends with Unavailable."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as silence:
        raise Unavailable("The database does not answer.", retry_after=RETRY_AFTER_SECONDS) from silence


@dataclass(slots=True)
class _Transaction:
    """The open transaction of one task. A task spawned inside it is not part of it: it may outlive it."""

    database: "Database"
    task: "asyncio.Task[Any] | None"
    connection: Connection
    what: str
    afterwards: "list[Callable[[], None]]" = field(default_factory=list)


def _crash_point(when: str, transaction: _Transaction) -> None:
    if transaction.what:
        crash_point(f"{when}_commit_of_{transaction.what}")


_current: ContextVar[_Transaction | None] = ContextVar("database_transaction", default=None)


class Database:
    """One PostgreSQL database; an async context manager.

    `url` names database, role and password; `migrations` is the folder of the SQL files that make its schema.
    """

    def __init__(self, url: Secret, migrations: Path, *, pool_size: int = POOL_SIZE) -> None:
        self._url = url
        self._folder = migrations
        self._pool = ConnectionPool(url, pool_size)
        self._migrated = asyncio.Event()
        self._has_faulty_migration = False
        self._trouble = Trouble(
            _log, "database cannot be used", "database can be used", reason="has not been reached yet"
        )
        self._failures = IntermittentTrouble(_log, "database fails", "database works again")
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._exits.enter_async_context(self._pool)
        await self._exits.enter_async_context(background(self._keep_migrating(), "migrations"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._exits.aclose()

    @asynccontextmanager
    async def transaction(self, what: str = "") -> AsyncIterator[Connection]:
        """All of the block or nothing of it, joining the transaction that this task is in.

        A joined block has no savepoint: its failure is the whole transaction's, even where it is caught.
        The first block that says `what` is committed names the crash points around the commit.
        Raises Unavailable when the database is away or not migrated yet.
        """
        if (joined := self._joinable()) is not None:
            joined.what = joined.what or what
            yield joined.connection
            return
        async with self._checked_out() as connection:
            opened = _Transaction(self, asyncio.current_task(), connection, what)
            async with connection.transaction():
                token = _current.set(opened)
                try:
                    yield connection
                finally:
                    _current.reset(token)
                _crash_point("before", opened)
            _crash_point("after", opened)
            for act in opened.afterwards:
                act()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """For one statement: over the transaction that this task is in, or by itself. Raises Unavailable."""
        if (joined := self._joinable()) is not None:
            yield joined.connection
            return
        async with self._checked_out() as connection:
            yield connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """A connection of the block's own, outside the pool: for LISTEN, and for locks that last.

        The server ends it, and with it its locks, when nothing has come over it for SESSION_SECONDS: whoever
        was frozen for longer finds it closed. Raises Unavailable, also for the block's own OperationalErrors.
        """
        if not self.is_migrated:
            raise Unavailable("The database is not ready yet.", retry_after=RETRY_AFTER_SECONDS)
        with database_errors():
            async with await connect(self._url) as connection:
                await connection.execute(_OWN_SESSION)
                yield connection

    def after_commit(self, act: Callable[[], None]) -> None:
        """Call `act` once the transaction that this task is in has been committed; now, if it is in none."""
        if (current := self._joinable()) is None:
            act()
        else:
            current.afterwards.append(act)

    async def check(self) -> None:
        """For Readiness: raises Unavailable, whose detail tells the operator why, until calls would work.

        A migration that cannot be applied is NeedsOperator.
        """
        if self._has_faulty_migration:
            raise NeedsOperator(self._trouble.reason)
        try:
            async with self.connection() as connection:
                await connection.execute("SELECT 1")
        except Unavailable as away:
            raise Unavailable(self._reason(away)) from away

    @property
    def is_migrated(self) -> bool:
        """True once the schema has been found, or made, up to date."""
        return self._migrated.is_set()

    async def wait_until_migrated(self) -> None:
        """Return once the schema is up to date. Put a timeout around it: an absent server is waited for."""
        await self._migrated.wait()

    def _joinable(self) -> _Transaction | None:
        current = _current.get()
        if current is None or current.database is not self or current.task is not asyncio.current_task():
            return None
        return current

    @asynccontextmanager
    async def _checked_out(self) -> AsyncIterator[Connection]:
        if not self.is_migrated:
            raise Unavailable("The database is not ready yet.", retry_after=RETRY_AFTER_SECONDS)
        with database_errors(), self._failures_told():
            async with self._pool.connection() as connection:
                yield connection

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        """The client learns no more than 503; the log has the cause, but nothing of what was asked."""
        try:
            yield
        except UNAVAILABLE as failure:
            if failure.sqlstate:
                self._failures.failed(f"SQLSTATE {failure.sqlstate}", detail=failure.diag.message_primary)
            else:
                self._failures.failed("no connection", detail=one_line(failure))
            raise
        self._failures.worked()

    def _reason(self, away: Unavailable) -> str:
        if not self.is_migrated:
            return self._trouble.reason
        return f"{away.detail} ({one_line(away.__cause__ or away)})"

    async def _keep_migrating(self) -> None:
        pause = FIRST_RETRY_SECONDS
        while not await self._try_to_migrate():
            await asyncio.sleep(pause)
            pause = min(2 * pause, LAST_RETRY_SECONDS)

    async def _try_to_migrate(self) -> bool:
        try:
            async with await connect(self._url) as connection:
                applied = await migrate(connection, read_migrations(self._folder))
        except (psycopg.Error, MigrationError, OSError) as failure:
            self._trouble.is_now(one_line(failure))
            self._has_faulty_migration = isinstance(failure, MigrationError)
            return False
        self._has_faulty_migration = False
        self._migrated.set()
        self._trouble.is_over()
        if applied:
            _log.info("migrations applied", extra={"names": applied})
        return True
