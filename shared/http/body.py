"""Message bodies: where they end (RFC 9112 sections 6 and 7), and reading them with back-pressure.

The decoders are pure: bytes in, content and unused bytes out. `StreamBody` joins one to a connection.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import Enum, auto
from time import monotonic
from typing import Protocol

from shared.http.head import CHUNKED, UNTIL_CLOSE, BadMessage
from shared.http.problems import PayloadTooLarge
from shared.http.stream import ConnectionGone, Stream

CHUNK_LINE_BYTES = 1024  # a chunk's size line with its extensions, which nobody uses
EXTENSION_BYTES = 16_384  # of all chunks together: no limit on content counts them
CHUNKS_AT_ONCE = 1024
TRAILER_BYTES = 8192  # all trailer fields together; they are checked and dropped

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*+"'
_EXTENSION = rb"[ \t]*+;[ \t]*+" + _TOKEN + rb"(?:[ \t]*+=[ \t]*+(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?+"
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,12})(?:" + _EXTENSION + rb")*+")
_TRAILER_LINE = re.compile(_TOKEN + rb":[\t\x20-\x7e\x80-\xff]*+")
_CRLF = b"\r\n"


class LengthDecoder:
    """A body of a known number of bytes."""

    def __init__(self, length: int) -> None:
        self._missing = length

    @property
    def finished(self) -> bool:
        """True when all content has come."""
        return self._missing == 0

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Content found at the beginning of `data`, and what was not used."""
        if len(data) <= self._missing:
            self._missing -= len(data)
            return data, b""
        content, rest = data[: self._missing], data[self._missing :]
        self._missing = 0
        return content, rest


class CloseDecoder:
    """A body that ends with the connection; responses only. It is never finished by itself."""

    finished = False

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """All of `data` is content."""
        return data, b""


class _Expect(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class ChunkedDecoder:
    """A body in chunks (RFC 9112 section 7.1), strict to the letter: what is unclear is BadMessage."""

    def __init__(self) -> None:
        self._expect = _Expect.SIZE
        self._missing = 0
        self._extension_bytes = 0
        self._trailer_bytes = 0

    @property
    def finished(self) -> bool:
        """True when the last chunk and the trailer section have come."""
        return self._expect is _Expect.NOTHING

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Content found at the beginning of `data`, and what was not used: pass that again, with more.

        It stops after CHUNKS_AT_ONCE chunks, so that many tiny ones cannot keep the event loop for long.
        """
        content: list[bytes] = []
        position = 0
        while not self.finished and len(content) < CHUNKS_AT_ONCE:
            before = position
            if self._expect is _Expect.DATA:
                content.append(data[position : position + self._missing])
                position = self._take_content(position, len(content[-1]))
            elif self._expect is _Expect.DATA_END:
                position = self._take_end_of_chunk(data, position)
            else:
                position = self._take_line(data, position)
            if position == before:
                break
        return b"".join(content), data[position:]

    def _take_content(self, position: int, length: int) -> int:
        self._missing -= length
        if not self._missing:
            self._expect = _Expect.DATA_END
        return position + length

    def _take_end_of_chunk(self, data: bytes, position: int) -> int:
        end = data[position : position + len(_CRLF)]
        if end == _CRLF:
            self._expect = _Expect.SIZE
            return position + len(_CRLF)
        if not _CRLF.startswith(end):
            raise BadMessage("A chunk is longer than its size line says.")
        return position

    def _take_line(self, data: bytes, position: int) -> int:
        """A size line or a line of the trailer section, once all of it is there."""
        end = data.find(_CRLF, position)
        if end < 0:
            self._refuse_endless(data[position:])
            return position
        line = data[position:end]
        if self._expect is _Expect.SIZE:
            self._take_size(line)
        elif line == b"":
            self._expect = _Expect.NOTHING
        else:
            self._trailer_bytes += len(line)
            if not _TRAILER_LINE.fullmatch(line) or self._trailer_bytes > TRAILER_BYTES:
                raise BadMessage("The trailer section is malformed or too long.")
        return end + len(_CRLF)

    def _take_size(self, line: bytes) -> None:
        matched = _CHUNK_LINE.fullmatch(line)
        if matched is None or len(line) > CHUNK_LINE_BYTES:
            raise BadMessage("A chunk's size line is malformed.")
        self._extension_bytes += len(line) - len(matched[1])
        if self._extension_bytes > EXTENSION_BYTES:
            raise BadMessage("The chunk extensions are too long.")
        self._missing = int(matched[1], 16)
        self._expect = _Expect.DATA if self._missing else _Expect.TRAILER

    def _refuse_endless(self, partial: bytes) -> None:
        limit = CHUNK_LINE_BYTES if self._expect is _Expect.SIZE else TRAILER_BYTES
        if len(partial) > limit or b"\n" in partial or b"\r" in partial[:-1]:
            raise BadMessage("A line of the chunked body is malformed or too long.")


Decoder = LengthDecoder | ChunkedDecoder | CloseDecoder


def decoder_for(framing: int) -> Decoder:
    """The decoder of a body with `framing` (see shared.http.head)."""
    if framing == CHUNKED:
        return ChunkedDecoder()
    return CloseDecoder() if framing == UNTIL_CLOSE else LengthDecoder(framing)


LAST_CHUNK = b"0\r\n\r\n"


def chunk(content: bytes) -> bytes:
    """`content`, which must not be empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(content), content)


class Patience(Protocol):
    """How long a reader waits for its peer."""

    def left(self, received: int, waited: float) -> float:
        """Seconds that may still be waited, after `received` bytes of content and `waited` seconds."""


@dataclass(frozen=True, slots=True)
class MinimumRate:
    """A peer may make us wait `grace_seconds` in all, plus one for every `bytes_per_second` it has sent.

    Only time spent waiting for the peer counts, so that our own back-pressure is not held against it.
    """

    grace_seconds: float = 20.0
    bytes_per_second: float = 500.0

    def left(self, received: int, waited: float) -> float:
        """See Patience."""
        return self.grace_seconds + received / self.bytes_per_second - waited


class StreamBody:
    """The body of one message on a connection: an asynchronous iterator of its pieces, read once.

    Raises BadMessage, ConnectionGone when the peer leaves before the end, DeadlineReached when it is slower
    than `patience` allows (None for no limit). `before_waiting` is called before the first wait.
    """

    def __init__(
        self,
        stream: Stream,
        framing: int,
        patience: Patience | None = None,
        before_waiting: Callable[[], object] | None = None,
    ) -> None:
        self._stream = stream
        self._decoder = decoder_for(framing)
        self._patience = patience
        self._before_waiting = before_waiting
        self._waited = 0.0
        self.length = framing if framing >= 0 else None
        self.received = 0  # bytes of content

    @property
    def finished(self) -> bool:
        """True when nothing of this body is left on the connection."""
        return self._decoder.finished

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._decoder.finished:
                raise StopAsyncIteration
            if piece := self.take():
                if self._stream.buffer and not self._decoder.finished:
                    await asyncio.sleep(0)  # others have their turn
                return piece
            if not self._decoder.finished and not await self._receive():
                if isinstance(self._decoder, CloseDecoder):
                    raise StopAsyncIteration
                raise ConnectionGone

    def take(self) -> bytes:
        """The content that has arrived already, without waiting."""
        content, self._stream.buffer = self._decoder.decode(self._stream.buffer)
        self.received += len(content)
        return content

    async def read(self, limit: int) -> bytes:
        """All of it. Raises PayloadTooLarge past `limit` bytes."""
        if self.length is not None and self.length > limit:
            raise PayloadTooLarge(limit)
        pieces = []
        async for piece in self:
            pieces.append(piece)
            if self.received > limit:
                raise PayloadTooLarge(limit)
        return b"".join(pieces)

    async def _receive(self) -> bool:
        if self._before_waiting is not None:
            self._before_waiting()
            self._before_waiting = None
        if self._patience is None:
            return await self._stream.receive()
        before = monotonic()
        self._stream.set_deadline(max(0.0, self._patience.left(self.received, self._waited)))
        try:
            return await self._stream.receive()
        finally:
            self._waited += monotonic() - before
            self._stream.set_deadline(None)
