"""A client of WebSockets that does next to nothing, so that the server is what is measured.

It walks over the headers of what comes and counts the frames. Only `samples` looks into them: there each
message says when it was sent. Both processes read the same monotonic clock.
"""

import asyncio
import base64
import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple, cast

TEXT, CLOSE, PING, PONG = 0x81, 0x88, 0x89, 0x8A
PLAIN_TEXT, COMPRESSED_TEXT = TEXT, TEXT | 0x40
END_OF_BLOCK = b"\x00\x00\xff\xff"  # RFC 7692 section 7.2.1
FRESH = b"server_no_context_takeover"
SENT = re.compile(rb"sent (\d+\.\d+)")  # somewhere in a message: when, in monotonic seconds


class Frame(NamedTuple):
    """Where one stands in what was received: its first octet, and its payload."""

    kind: int
    start: int
    stop: int


@dataclass
class Tally:
    """What all receivers of a process have seen."""

    opened: int = 0
    answered: int = 0  # those to whom something was said
    closed: int = 0
    frames: int = 0
    last: float = 0.0  # when the last one came, in monotonic seconds
    delays: list[float] = field(default_factory=list)  # seconds, of those who sample
    failure: str = ""

    def reset(self) -> None:
        """Count from here on."""
        self.frames, self.last, self.delays = 0, 0.0, []


@dataclass(frozen=True, slots=True)
class Manner:
    """How a receiver behaves. `first` is sent when it is open, `again` with that and after each frame."""

    first: bytes = b""
    again: bytes = b""
    samples: bool = False


class Receiver(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_has_heard",
        "_inflater",
        "_is_fresh",
        "_is_open",
        "_manner",
        "_request",
        "_rest",
        "_tally",
        "_wire",
    )

    def __init__(self, request: bytes, manner: Manner, tally: Tally) -> None:
        self._request = request
        self._manner = manner
        self._tally = tally
        self._rest = b""
        self._is_open = False
        self._has_heard = False
        self._is_fresh = False  # every message is compressed by itself
        self._inflater = zlib.decompressobj(-15) if manner.samples else None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        self._wire.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        self._tally.closed += 1

    def data_received(self, data: bytes) -> None:
        data = self._rest + data if self._rest else data
        if not self._is_open and not (data := self._after_head(data)):
            return
        at = 0
        for frame in frames_in(data):
            self._take(frame, data)
            at = frame.stop
        self._rest = data[at:]

    def _after_head(self, data: bytes) -> bytes:
        """What follows the answer to the handshake, once it has come."""
        head, end, rest = data.partition(b"\r\n\r\n")
        self._rest = b"" if end else data
        if not end:
            return b""
        if b" 101 " not in head[:16]:
            self._tally.failure = data.decode("latin-1")
            self._wire.close()
            return b""
        self._is_open = True
        self._is_fresh = FRESH in head
        self._tally.opened += 1
        self._wire.write(self._manner.first + self._manner.again)
        return rest

    def _take(self, frame: Frame, data: bytes) -> None:
        tally = self._tally
        if frame.kind == PING:
            self._wire.write(masked_frame(PONG, data[frame.start : frame.stop]))
            return
        if frame.kind == CLOSE:
            tally.failure = tally.failure or data[frame.start + 2 : frame.stop].decode()
            self._wire.close()
            return
        tally.frames += 1
        if not self._has_heard:
            self._has_heard = True
            tally.answered += 1
        if self._manner.again:
            self._wire.write(self._manner.again)
        if self._inflater is not None:
            tally.last = monotonic()
            self._sample(frame, data)

    def _sample(self, frame: Frame, data: bytes) -> None:
        payload = data[frame.start : frame.stop]
        if frame.kind == COMPRESSED_TEXT:
            payload = self._inflated(payload)
        if found := SENT.search(payload):
            self._tally.delays.append(self._tally.last - float(found[1]))

    def _inflated(self, payload: bytes) -> bytes:
        if self._is_fresh:
            self._inflater = zlib.decompressobj(-15)
        return cast("zlib._Decompress", self._inflater).decompress(payload + END_OF_BLOCK)


def frames_in(data: bytes) -> Iterator[Frame]:
    """The whole frames at the beginning of what a server has sent."""
    at, end = 0, len(data)
    while end - at >= 2:  # noqa: PLR2004 - the shortest header
        count, start = data[at + 1], at + 2
        if count > 125:  # noqa: PLR2004 - the length follows (RFC 6455 section 5.2)
            size = 2 if count == 126 else 8  # noqa: PLR2004
            start = at + 2 + size
            if start > end:
                return
            count = int.from_bytes(data[at + 2 : start], "big")
        if start + count > end:
            return
        yield Frame(data[at], start, start + count)
        at = start + count


def masked_frame(first: int, payload: bytes) -> bytes:
    """One of a client's."""
    count, mask = len(payload), os.urandom(4)
    if count < 126:  # noqa: PLR2004
        head = struct.pack("!BB", first, 0x80 | count)
    elif count < 65_536:  # noqa: PLR2004
        head = struct.pack("!BBH", first, 0x80 | 126, count)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, count)
    keys = (mask * (count // 4 + 1))[:count]
    return head + mask + (int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")).to_bytes(count, "big")


def text_frame(text: str, *, compressed: bool) -> bytes:
    """A whole message; compressed by itself, which every server can read."""
    payload = text.encode()
    if not compressed:
        return masked_frame(PLAIN_TEXT, payload)
    compressor = zlib.compressobj(wbits=-15)
    packed = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return masked_frame(COMPRESSED_TEXT, packed.removesuffix(END_OF_BLOCK))


def handshake(target: str, *, compressed: bool) -> bytes:
    """The request that opens a WebSocket at `target`."""
    lines = [
        f"GET {target} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(os.urandom(16)).decode()}",
        *(["Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"] * compressed),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()
