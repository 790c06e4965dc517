"""How a topic lies in Redis: eight streams, and in each of them a bookmark for every group.

A message goes to the stream that its key's hash names, so what has one key has one order. An entry has two
fields, `key` and `value`.

A bookmark is what Redis calls a consumer group. Of that we use one thing, the last delivered id: the entry
that the group has handled last. XREADGROUP would move it as it hands out entries, and list those pending. Of
two owners at the same time (one was frozen and does not know yet that it has been replaced) each would get
what the other does not; neither would have the order, and what the late one had taken would wait until the
owner changes again. So we read by XREAD, which gives every reader everything, and move the bookmark by
XGROUP SETID after the handling. Each owner goes through the stream in order, from a place up to which all has
been handled. However many there are, first times are in order, and the worst that a late one does is to put
the bookmark back.

It needs Redis 7 or Valkey (ENTRIESREAD, by which the server counts what waits behind a bookmark).
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.events.bus import PARTITIONS, Message
from shared.events.redis_link import Link, Refused

BLOCK_SECONDS = 2.0  # how long a read waits for something new, and how soon a wiped store is noticed
READ_AT_ONCE = 100  # entries of each stream
COUNTED_AT_ONCE = 1000  # entries
BEGINNING = b"0-0"  # before every entry


@dataclass(frozen=True, slots=True)
class Entry:
    """A message, its stream, and its id there."""

    stream: str
    id: bytes
    message: Message


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far a group has come in a stream."""

    position: bytes  # the id of the entry that it has handled last
    passed: int  # entries up to there, those included that are trimmed
    waiting: int  # entries after it


def streams_of(topic: str) -> list[str]:
    """The names of its streams."""
    return [f"events:{topic}:{number}" for number in range(PARTITIONS)]


def stream_for(message: Message) -> str:
    """Where it belongs."""
    return f"events:{message.topic}:{zlib.crc32(message.key.encode()) % PARTITIONS}"


def adding(message: Message) -> tuple[str | bytes, ...]:
    """The command that puts `message` at the end of its stream."""
    return ("XADD", stream_for(message), "*", "key", message.key, "value", message.value)


async def read(link: Link, positions: Mapping[str, bytes]) -> list[Entry]:
    """What comes after `positions`, an id for each stream; nothing if nothing comes for BLOCK_SECONDS."""
    wait = ("BLOCK", int(BLOCK_SECONDS * 1000), "COUNT", READ_AT_ONCE, "STREAMS")
    found = await link.call("XREAD", *wait, *positions, *positions.values(), waits=BLOCK_SECONDS)
    return [entry for stream, raw in found or () for entry in _entries(stream.decode(), raw)]


async def page(link: Link, stream: str, after: bytes, last: bytes) -> list[Entry]:
    """The first READ_AT_ONCE entries after the id `after` and up to `last`."""
    raw = await link.call("XRANGE", stream, b"(" + after, last, "COUNT", READ_AT_ONCE)
    return list(_entries(stream, raw))


async def last_id(link: Link, stream: str) -> bytes:
    """Of the newest entry that there is."""
    newest = await link.call("XREVRANGE", stream, "+", "-", "COUNT", 1)
    identifier: bytes = newest[0][0] if newest else BEGINNING
    return identifier


async def positions_of(link: Link, stream: str) -> list[bytes]:
    """Where the bookmarks of all groups lie in it."""
    try:
        groups = await link.call("XINFO", "GROUPS", stream)
    except Refused as refusal:
        _raise_unless(refusal, "no such key")
        return []
    return [_mapping(group)["last-delivered-id"] for group in groups]


async def bookmark_of(link: Link, stream: str, group: str) -> Bookmark | None:
    """None when the group has none in this stream."""
    about = [("XINFO", "STREAM", stream), ("XINFO", "GROUPS", stream)]
    try:
        whole, groups = await link.transaction(about)  # so that both are of the same moment
    except Refused as refusal:
        _raise_unless(refusal, "no such key")
        return None
    for mark in map(_mapping, groups):
        if mark["name"] == group.encode():
            return await _bookmark(link, stream, _mapping(whole), mark)
    return None


async def make_bookmark(link: Link, stream: str, group: str) -> None:
    """At the beginning, if there is none yet; the stream is made with it."""
    try:
        await link.call("XGROUP", "CREATE", stream, group, BEGINNING, "MKSTREAM")
    except Refused as refusal:
        _raise_unless(refusal, "BUSYGROUP")


async def move_bookmark(link: Link, stream: str, group: str, position: bytes, passed: int) -> bool:
    """False when there is none (any more)."""
    try:
        await link.call("XGROUP", "SETID", stream, group, position, "ENTRIESREAD", passed)
    except Refused as refusal:
        _raise_unless(refusal, "NOGROUP", "requires the key to exist")
        return False
    return True


def as_numbers(identifier: bytes) -> tuple[int, int]:
    """An id as what it is compared by: Unix milliseconds, and a count within them."""
    milliseconds, _, count = identifier.partition(b"-")
    return int(milliseconds), int(count or 0)


async def _bookmark(link: Link, stream: str, whole: Mapping[str, Any], mark: Mapping[str, Any]) -> Bookmark:
    position, end, waiting = mark["last-delivered-id"], whole["last-generated-id"], mark["lag"]
    if as_numbers(position) >= as_numbers(end):
        waiting = 0
    elif waiting is None:  # the server cannot tell: somebody has moved the bookmark, or deleted entries
        waiting = await _count(link, stream, position, end)
    return Bookmark(position, whole["entries-added"] - waiting, waiting)


async def _count(link: Link, stream: str, after: bytes, last: bytes) -> int:
    count = 0
    while True:
        found = await link.call("XRANGE", stream, b"(" + after, last, "COUNT", COUNTED_AT_ONCE)
        count += len(found)
        if len(found) < COUNTED_AT_ONCE:
            return count
        after = found[-1][0]


def _entries(stream: str, raw: Sequence[Any]) -> Iterator[Entry]:
    topic = stream.removeprefix("events:").rpartition(":")[0]
    for identifier, fields in raw:
        values = dict(zip(fields[::2], fields[1::2], strict=True))
        key = values.get(b"key", b"").decode(errors="replace")
        place = f"{stream}/{identifier.decode()}"
        yield Entry(stream, identifier, Message(topic, key, values.get(b"value", b""), place))


def _mapping(raw: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(raw[::2], raw[1::2], strict=True)}


def _raise_unless(refusal: Refused, *expected: str) -> None:
    if not any(words in refusal.detail for words in expected):
        raise refusal
