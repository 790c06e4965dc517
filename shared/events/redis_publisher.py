"""Publishing to Redis Streams: nothing is half sent, nothing counts as safe before it is on disk.

`send` is one transaction: where the server runs out of memory, it takes all of it or nothing.

`confirm` writes something, on a connection of its own, and waits until the server has it in its append-only
file on disk (WAITAOF). The file is written in the order of the writes, so everything sent before is there,
too. Both connections are made before anything is sent, and neither is ever made anew: the server of whom
`confirm` speaks has not been restarted since, and so has lost nothing. With appendfsync everysec it takes up
to a second; hence two connections, so that others can be sent meanwhile. (Valkey 9.1.2 answers at once with
everysec: what it has written to the file then survives its own death, but not that of the machine.)

`tidy` drops what every group has handled, but nothing younger than KEPT_SECONDS.
"""

import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from shared.config import Secret
from shared.errors import Unavailable
from shared.events.bus import Message
from shared.events.redis_link import Link, Refused, linked
from shared.events.redis_topics import adding, as_numbers, positions_of, streams_of
from shared.observability.trouble import Trouble

DISK_SECONDS = 5.0  # it is a second with appendfsync everysec; a busy disk takes longer
KEPT_SECONDS = (
    600.0  # for broadcasts that are reconnecting, and for groups that begin after their first event
)
CONFIRMATIONS = "events:confirmations"  # a count that nobody reads: the write that is waited for

_NO_FILE = ("appendonly is disabled", "unknown command")  # the latter before Redis 7.2


class RedisPublisher:
    """A way to the streams of `topics`. After its first error it refuses everything."""

    def __init__(self, sending: Link, confirming: Link, topics: Sequence[str], no_file: Trouble) -> None:
        self._sending = sending
        self._confirming = confirming
        self._topics = topics
        self._no_file = no_file
        self._is_good = True

    async def send(self, messages: Sequence[Message]) -> None:
        """As Publisher says, and all or nothing."""
        with self._good():
            await self._sending.transaction([adding(message) for message in messages])

    async def confirm(self) -> None:
        """As Publisher says."""
        with self._good():
            await self._confirming.call("INCR", CONFIRMATIONS)
            if not await self._is_on_disk():
                raise Unavailable(f"The event bus has written nothing to disk for {DISK_SECONDS:g} s.")

    async def tidy(self) -> None:
        """As Publisher says."""
        with self._good():
            seconds, _ = await self._sending.call("TIME")
            for topic in self._topics:
                for stream in streams_of(topic):
                    await self._trim(stream, b"%d" % ((int(seconds) - KEPT_SECONDS) * 1000))

    async def _is_on_disk(self) -> bool:
        try:
            files, _ = await self._confirming.call(
                "WAITAOF", 1, 0, int(DISK_SECONDS * 1000), waits=DISK_SECONDS
            )
        except Refused as refusal:
            if not any(words in refusal.detail for words in _NO_FILE):
                raise
            self._no_file.is_now(refusal.detail)
            return True
        self._no_file.is_over()
        return bool(files)

    async def _trim(self, stream: str, oldest_kept: bytes) -> None:
        handled = await positions_of(self._sending, stream)
        oldest_kept = min([oldest_kept, *handled], key=as_numbers)
        await self._sending.call("XTRIM", stream, "MINID", "~", oldest_kept)

    @contextmanager
    def _good(self) -> Iterator[None]:
        if not self._is_good:
            raise Unavailable("This way to the event bus has failed before.")
        try:
            yield
        except Unavailable:
            self._is_good = False
            raise


@asynccontextmanager
async def redis_publisher(
    url: Secret, topics: Sequence[str], no_file: Trouble
) -> AsyncIterator[RedisPublisher]:
    """`no_file` is told that the server keeps no append-only file. Raises Unavailable."""
    async with linked(url) as sending, linked(url) as confirming:
        yield RedisPublisher(sending, confirming, topics, no_file)


def trouble_without_file(log: logging.Logger) -> Trouble:
    """That what was sent may be lost with the server, which the operator should know, once."""
    return Trouble(
        log,
        "events may be lost when the event bus crashes; republishing repairs that",
        "events outlive a crash of the event bus again",
    )
