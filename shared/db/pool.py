"""Bounded PostgreSQL connections that survive the server.

The pool itself is psycopg's. What we add is how it behaves when the server goes away:

- A connection that the server has closed while it lay idle is noticed at checkout, by one system call and no
  round trip, and replaced; no client sees it.
- psycopg's pool would double the pause between its attempts for minutes. Ours gives up an attempt at once and
  tries anew whenever somebody asks, so work goes on as soon as the server is back.
- psycopg's pool keeps to itself why it cannot connect. Ours finds out, for who waits in vain to know.
- Whoever asks waits CHECKOUT_SECONDS at most, and only MAX_WAITING do; past that the answer is Unavailable.
"""

import asyncio
import logging
import os
import select
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Self

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout, TooManyRequests

from shared.config import ConfigError, Secret
from shared.errors import Invalid, Unavailable
from shared.observability.metrics import DATABASE_POOL

Connection = psycopg.AsyncConnection[TupleRow]

CONNECT_SECONDS = 3  # a server that takes longer to greet us is as good as away
CHECKOUT_SECONDS = 1.5  # less than a readiness check may take, so that it can say why
RECONNECT_SECONDS = 0.25  # one more try for whoever waits already; later callers start their own
HELD_SECONDS = 15.0  # longer than any statement may take: past it the server is frozen, and so would we be
STATEMENT_SECONDS = 10  # no query of ours needs longer; a runaway one must not hold a connection
MAX_WAITING = 200  # several times what a pool serves within CHECKOUT_SECONDS would only wait in vain
RETRY_AFTER_SECONDS = 1.0  # what we tell clients; the engine restarts in about that time

# The fault of server, link or pool, not of what was asked. Read-only: a replica, or one that ran out of disk.
UNAVAILABLE = (
    psycopg.OperationalError,
    psycopg.errors.ReadOnlySqlTransaction,
    psycopg.errors.IdleInTransactionSessionTimeout,  # we were frozen for HELD_SECONDS
)
# Likewise operational to psycopg, but no waiting helps: a row too large for an index, for example.
_TOO_LARGE = "54"

# A peer that is gone without a farewell is noticed within HELD_SECONDS, by whoever waits for it.
_LINK: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": int(HELD_SECONDS * 1000),
}


@contextmanager
def database_errors() -> Iterator[None]:
    """Failures of the server, the link or the pool leave the block as Unavailable, the cause is kept.

    A value that PostgreSQL cannot take leaves it as Invalid.
    """
    try:
        yield
    except UNAVAILABLE as failure:
        if (failure.sqlstate or "").startswith(_TOO_LARGE):
            raise Invalid("A value is too large to be stored.") from failure
        raise Unavailable("The database does not answer.", retry_after=RETRY_AFTER_SECONDS) from failure
    except psycopg.DataError as failure:  # a NUL character, a number out of range: no rule had caught it
        raise Invalid("A value cannot be stored or looked for.") from failure


def check_url(url: Secret, setting: str = "DATABASE_URL") -> None:
    """Raises ConfigError, which names `setting` and shows nothing of `url`, when libpq cannot read it."""
    try:
        psycopg.conninfo.conninfo_to_dict(url.value)
    except psycopg.ProgrammingError:  # its message quotes what it stumbled over, perhaps the password
        raise ConfigError(setting, "is not a URL that PostgreSQL understands") from None


class ConnectionPool:
    """At most `size` connections in autocommit mode. An async context manager; opening does not wait."""

    def __init__(self, url: Secret, size: int, held_seconds: float = HELD_SECONDS) -> None:
        check_url(url)
        self._url = url
        self._size = size
        self._held_seconds = held_seconds
        self._refusal = ""  # why the latest attempt to connect was in vain; empty when it was not
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            url.value,
            kwargs={"autocommit": True, **_LINK},
            configure=self._configure,
            reconnect_failed=self._find_out_why,
            open=False,
            min_size=1,
            max_size=size,
            max_waiting=MAX_WAITING,
            timeout=CHECKOUT_SECONDS,
            reconnect_timeout=RECONNECT_SECONDS,
        )

    async def __aenter__(self) -> Self:
        # The pool reports every checkout at INFO and every attempt to connect at WARNING; we log changes.
        logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
        await self._pool.open()
        _publish(self._pool.get_stats)
        return self

    async def __aexit__(self, *_: object) -> None:
        _publish(dict)
        await self._pool.close()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A live connection for as long as the block lasts. Raises psycopg.OperationalError without one.

        After HELD_SECONDS it is cut: a frozen server says nothing, not even that a statement took too long.
        """
        connection = await self._take()
        cut = asyncio.get_running_loop().call_later(self._held_seconds, _hang_up, connection)
        try:
            yield connection
        finally:
            cut.cancel()
            await self._pool.putconn(connection)

    async def _take(self) -> Connection:
        connection = await self._wait_for_one()
        while _has_hung_up(connection):
            await connection.close()
            await self._pool.putconn(connection)  # which starts a replacement
            connection = await self._wait_for_one()
        return connection

    async def _wait_for_one(self) -> Connection:
        try:
            return await self._pool.getconn()
        except PoolTimeout as in_vain:
            if self._refusal:
                raise psycopg.OperationalError(self._refusal) from in_vain
            raise
        except TooManyRequests:
            await self._connect_without_a_request()
            raise

    async def _connect_without_a_request(self) -> None:
        """Psycopg's pool connects when somebody joins its queue. Those who gave up stay in there until it has
        connected: once they fill it, nobody can join any more.
        """
        if self._pool.get_stats()["pool_size"] == 0:
            await self._pool.resize(0, self._size)
            await self._pool.resize(1, self._size)  # one more than before: it tries

    async def _configure(self, connection: Connection) -> None:
        self._refusal = ""
        await connection.execute(f"SET statement_timeout = '{STATEMENT_SECONDS}s'".encode())
        # The rows that a frozen process has locked are others' again; it finds its transaction undone.
        await connection.execute(f"SET idle_in_transaction_session_timeout = '{HELD_SECONDS:g}s'".encode())
        await connection.execute("SET timezone = 'UTC'")

    async def _find_out_why(self, _: AsyncConnectionPool[Connection]) -> None:
        try:
            await (await connect(self._url)).close()
        except psycopg.OperationalError as failure:
            self._refusal = one_line(failure)


def _hang_up(connection: Connection) -> None:
    """Whoever waits for the server's answer gets an OperationalError."""
    if not connection.closed:
        with socket.socket(fileno=os.dup(connection.fileno())) as link, suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)


def _publish(stats: Callable[[], dict[str, int]]) -> None:
    """Let /metrics ask for the pool's state when it is read, so that a checkout pays nothing for it."""

    def value(name: str) -> int:
        return stats().get(name, 0)

    DATABASE_POOL.labels("idle").set_function(lambda: value("pool_available"))
    DATABASE_POOL.labels("in_use").set_function(lambda: value("pool_size") - value("pool_available"))
    DATABASE_POOL.labels("waiting").set_function(lambda: value("requests_waiting"))


async def connect(url: Secret) -> Connection:
    """A connection outside any pool, in autocommit mode, whose statements may take as long as they need.

    Raises psycopg.OperationalError, whose message says what is wrong with server, link, role or database.
    """
    return await psycopg.AsyncConnection.connect(url.value, autocommit=True, **_LINK)


def _has_hung_up(connection: Connection) -> bool:
    """True when the server has closed an idle `connection`. Sends nothing and waits for nothing."""
    try:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN)
        while poll.poll(0):  # a notice, or a farewell and then the end
            connection.pgconn.consume_input()
    except psycopg.OperationalError:
        return True
    return False


def one_line(failure: BaseException) -> str:
    """The message of `failure`; PostgreSQL's often have several lines."""
    return " ".join(str(failure).split())
