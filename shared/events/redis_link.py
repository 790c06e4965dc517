"""One connection to Redis or Valkey that is never made anew.

The client library would connect again behind our back. But what a connection stands for ends with it: that
the server still lives the life in which it was told something. So a link that is lost stays lost.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from shared.config import ConfigError, Secret
from shared.errors import Unavailable

ANSWER_SECONDS = 3.0  # a server that takes longer is away

Word = str | bytes | int
Command = Sequence[Word]


class Refused(Unavailable):
    """The server is there and answers with an error: out of memory, still loading, no such thing."""


class Link:
    """Asks the server. Each method raises Unavailable, of which Refused leaves the link as good as it was."""

    def __init__(self, connection: AbstractConnection) -> None:
        self._connection = connection
        self._turn = asyncio.Lock()

    async def call(self, *command: Word, waits: float = 0.0) -> Any:
        """The answer to `command`, in the protocol's own types: bytes, integers, lists, None.

        `waits` is for how many seconds the command has the server wait for something.
        """
        return (await self._ask([command], waits))[0]

    async def transaction(self, commands: Sequence[Command]) -> Sequence[Any]:
        """The answers to `commands`, of which nobody sees the server between two. Refused: none is executed.

        A command that only fails as it is executed is Refused as well, although the others are not undone.
        """
        *_, answers = await self._ask([("MULTI",), *commands, ("EXEC",)])
        _raise_the_first_refusal(answers)
        return list(answers)

    async def _ask(self, commands: Sequence[Command], waits: float = 0.0) -> list[Any]:
        async with self._turn:
            if not self._connection.is_connected:
                raise Unavailable("The event bus was lost.")
            with link_errors():
                async with asyncio.timeout(waits + ANSWER_SECONDS):
                    await self._connection.send_packed_command(self._connection.pack_commands(commands))
                    answers = [await self._answer() for _ in commands]
        _raise_the_first_refusal(answers)
        return answers

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as refusal:
            return refusal


@asynccontextmanager
async def linked(url: Secret) -> AsyncIterator[Link]:
    """A link to the server at `url` while the block runs. Raises Unavailable when there is none to be had."""
    connection = _connection(url)
    try:
        with link_errors():
            async with asyncio.timeout(ANSWER_SECONDS):
                await connection.connect()  # type: ignore[no-untyped-call]
        yield Link(connection)
    finally:
        await connection.disconnect(nowait=True)


def check_url(url: Secret) -> None:
    """Raises ConfigError, which names EVENTS_URL and shows nothing of it, when the client cannot read it."""
    try:
        _connection(url)
    except (ValueError, TypeError):
        raise ConfigError("EVENTS_URL", "is not a URL that the client for Redis understands") from None


def _connection(url: Secret) -> AbstractConnection:
    pool = ConnectionPool.from_url(
        url.value,
        protocol=2,
        socket_timeout=None,  # each question has a limit of its own
        socket_connect_timeout=ANSWER_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]
    return connection


@contextmanager
def link_errors() -> Iterator[None]:
    """The client library's errors leave the block as Unavailable, the cause is kept."""
    try:
        yield
    except (RedisError, OSError) as failure:
        raise Unavailable(_what_is_wrong(failure)) from failure


def _what_is_wrong(failure: Exception) -> str:
    """For whoever reads the log; the library's messages name host and port, never a password."""
    said = " ".join(str(failure).split()) or type(failure).__name__
    if isinstance(failure, AuthenticationError):
        return f"The event bus wants another password ({said})."
    return f"The event bus does not answer ({said})."


def _raise_the_first_refusal(answers: Sequence[Any]) -> None:
    for answer in answers:
        if isinstance(answer, ResponseError):
            raise Refused(f"The event bus refuses what it is asked for ({answer}).") from answer
