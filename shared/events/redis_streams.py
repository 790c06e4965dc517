"""A bus on the streams of Redis or Valkey. How a topic lies in them: redis_topics.py."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from shared.config import Secret
from shared.crash_points import crash_points_around
from shared.events.bus import Handle, Heard, Message, Publisher, Resumed
from shared.events.ownership import Ownership
from shared.events.redis_link import Link, check_url, linked
from shared.events.redis_publisher import redis_publisher, trouble_without_file
from shared.events.redis_topics import (
    BEGINNING,
    Entry,
    as_numbers,
    bookmark_of,
    last_id,
    make_bookmark,
    move_bookmark,
    page,
    read,
    streams_of,
)
from shared.observability.trouble import IntermittentTrouble

_log = logging.getLogger(__name__)


class RedisStreamsBus:
    """The server at `url`. Who consumes needs an `ownership`, which says who works at which stream.

    Raises ConfigError when the URL cannot be used.
    """

    def __init__(self, url: Secret, ownership: Ownership | None) -> None:
        check_url(url)
        self._url = url
        self._ownership = ownership
        self._no_file = trouble_without_file(_log)
        self._wiped = IntermittentTrouble(
            _log, "a group starts with the oldest event again", "a group goes on from the oldest event"
        )

    def publisher(self, topics: Sequence[str]) -> AbstractAsyncContextManager[Publisher]:
        """As Bus says."""
        return redis_publisher(self._url, topics, self._no_file)

    async def consume(self, group: str, topics: Sequence[str], handle: Handle) -> None:
        """As Bus says. The processes of a group divide the streams among them."""
        if self._ownership is None:
            raise ValueError("a bus without an ownership cannot consume")
        async with linked(self._url):
            pass  # while the server is away, the database is not bothered about who owns what

        async def work(stream: str) -> None:
            async with linked(self._url) as link:
                await _Owner(link, stream, group, handle, self._wiped).work()

        await self._ownership.share(f"events for {group}", _streams(topics), work)

    async def broadcast(
        self, topics: Sequence[str], handle: Handle, resumed: Resumed, heard: Heard | None = None
    ) -> None:
        """As Bus says. `heard` has the id of the last entry of each stream."""
        heard = {} if heard is None else heard
        streams = _streams(topics)
        async with linked(self._url) as link:
            for stream in streams:
                heard[stream] = await _within(link, stream, heard.get(stream))
            await resumed()
            while True:
                for entry in await read(link, {stream: heard[stream] for stream in streams}):
                    await handle(entry.message)
                    heard[entry.stream] = entry.id

    async def history(self, topic: str) -> AsyncIterator[Message]:
        """As Bus says."""
        async with linked(self._url) as link:
            ends = {stream: await last_id(link, stream) for stream in streams_of(topic)}
            for stream, end in ends.items():
                position = BEGINNING
                while entries := await page(link, stream, position, end):
                    for entry in entries:
                        yield entry.message
                    position = entries[-1].id

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """As Bus says."""
        async with linked(self._url) as link:
            return {
                topic: sum([await _waiting(link, stream, group) for stream in streams_of(topic)])
                for topic in topics
            }

    async def close(self) -> None:
        """As Bus says; nothing is connected but what a call is using."""


class _Owner:
    """Who works at one stream in the name of a group, for as long as the link lives."""

    def __init__(
        self, link: Link, stream: str, group: str, handle: Handle, wiped: IntermittentTrouble
    ) -> None:
        self._link = link
        self._stream = stream
        self._group = group
        self._handle = handle
        self._wiped = wiped
        self._position = BEGINNING
        self._passed = 0

    async def work(self) -> None:
        """From the bookmark on, one entry after the other."""
        if (
            await bookmark_of(self._link, self._stream, self._group) is None
        ):  # a server without memory refuses
            await make_bookmark(self._link, self._stream, self._group)
        await self._find_bookmark()
        while True:
            entries = await read(self._link, {self._stream: self._position})
            if not (entries and await self._go_through(entries)):
                await self._find_bookmark()

    async def _go_through(self, entries: Sequence[Entry]) -> bool:
        """False when the bookmark has vanished meanwhile."""
        for entry in entries:
            await self._handle(entry.message)
            self._position, self._passed = entry.id, self._passed + 1
            if not await self._acknowledge():
                return False
        return True

    async def _acknowledge(self) -> bool:
        with crash_points_around("acknowledge"):
            return await move_bookmark(self._link, self._stream, self._group, self._position, self._passed)

    async def _find_bookmark(self) -> None:
        """Where it lies now; nothing moves it but owners and operators, if the store was not wiped."""
        while (bookmark := await bookmark_of(self._link, self._stream, self._group)) is None:
            self._wiped.failed(f"the store has lost where {self._group} was")
            await make_bookmark(self._link, self._stream, self._group)
        self._wiped.worked()
        self._position, self._passed = bookmark.position, bookmark.passed


def _streams(topics: Sequence[str]) -> list[str]:
    return [stream for topic in topics for stream in streams_of(topic)]


async def _within(link: Link, stream: str, position: bytes | None) -> bytes:
    """Where to go on: at `position` or, if the stream does not reach that far (any more), at its end.

    A store that was wiped, or restored from a backup, may give lower ids than it did: ids are times.
    """
    end = await last_id(link, stream)
    return end if position is None else min(position, end, key=as_numbers)


async def _waiting(link: Link, stream: str, group: str) -> int:
    bookmark = await bookmark_of(link, stream, group)
    if bookmark is not None:
        return bookmark.waiting
    length: int = await link.call("XLEN", stream)
    return length
