"""The other end of a WebSocket, made by hand: frames as octets, and a server of ours that echoes.

No library of WebSockets takes part, so that what such a library would never send can be sent.
"""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import NamedTuple

from shared.http.messages import Request, Response
from shared.http.server import Server, serve
from shared.http.stream import Stream
from shared.websocket.connection import GOING_AWAY, NO_LIMIT, SocketLimits, WebSocket
from shared.websocket.encoding import Encoded
from shared.websocket.handshake import accepting_fields, read_handshake

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10
DEFLATE = ("Sec-WebSocket-Extensions", "permessage-deflate")
SECONDS = 10.0  # within which a peer of ours is answered, on a busy machine too

MEBIBYTE = 1 << 20
GENEROUS = SocketLimits(16 * MEBIBYTE, NO_LIMIT, 32 * MEBIBYTE, close_seconds=2.0)
_MASK = b"\x37\xfa\x21\x3d"  # the one of RFC 6455 section 5.7


class Frame(NamedTuple):
    """What the server sent."""

    opcode: int
    payload: bytes
    fin: bool = True
    reserved: int = 0

    @property
    def code(self) -> int:
        """Of a close frame; 1005 when it names none (section 7.1.5)."""
        assert self.opcode == CLOSE, self
        return int.from_bytes(self.payload[:2]) if self.payload else 1005

    @property
    def reason(self) -> str:
        """Of a close frame."""
        return self.payload[2:].decode()


# What a client sends


def frame(
    opcode: int, payload: bytes = b"", *, fin: bool = True, reserved: int = 0, mask: bytes | None = _MASK
) -> bytes:
    """A client's frame (section 5.2); without a `mask` it breaks the protocol."""
    head = bytes([fin << 7 | reserved | opcode]) + length(len(payload), is_masked=mask is not None)
    return head + payload if mask is None else head + mask + masked(payload, mask)


def length(count: int, *, is_masked: bool = True) -> bytes:
    """The second octet of a header, and what follows it for long payloads."""
    bit = is_masked << 7
    if count < 126:
        return bytes([bit | count])
    return struct.pack("!BH", bit | 126, count) if count < 65_536 else struct.pack("!BQ", bit | 127, count)


def masked(payload: bytes, mask: bytes) -> bytes:
    """Section 5.3."""
    if len(payload) < 256:
        return bytes(octet ^ key for octet, key in zip(payload, cycle(mask), strict=False))
    keys = (mask * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(len(payload))


def close_frame(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A client's half of the closing handshake."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def in_fragments(opcode: int, payload: bytes, size: int, reserved: int = 0) -> bytes:
    """One message, in frames of at most `size` bytes."""
    pieces = [payload[start : start + size] for start in range(0, len(payload), size)] or [b""]
    kinds = [opcode, *[CONTINUATION] * (len(pieces) - 1)]
    bits = [reserved, *[0] * (len(pieces) - 1)]
    ends = [*[False] * (len(pieces) - 1), True]
    return b"".join(
        frame(kind, piece, fin=end, reserved=bit)
        for kind, piece, end, bit in zip(kinds, pieces, ends, bits, strict=True)
    )


def handshake_head(*fields: tuple[str, str], path: str = "/") -> bytes:
    """A good handshake, with `fields` besides."""
    every = [
        ("Host", "a"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode()),
        *fields,
    ]
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in every), "", ""]
    return "\r\n".join(lines).encode()


@dataclass
class Peer:
    """A client's connection. Every wait has an end."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *data: bytes) -> None:
        """Octets as they are, all at once."""
        self.writer.write(b"".join(data))

    async def send_one_by_one(self, data: bytes) -> None:
        """Each octet in a segment of its own, where TCP does as it is told."""
        for octet in data:
            self.writer.write(bytes([octet]))
            await asyncio.sleep(0)

    async def read_head(self) -> bytes:
        """The server's answer to the handshake."""
        async with asyncio.timeout(SECONDS):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def read(self) -> Frame:
        """The next frame."""
        got = await self.read_if_any()
        assert got is not None, "the server has closed the connection"
        return got

    async def read_if_any(self) -> Frame | None:
        """The next frame; None when the connection has been closed, which must not be by a reset."""
        async with asyncio.timeout(SECONDS):
            if not (first := await self.reader.read(1)):
                return None
            (count,) = await self.reader.readexactly(1)
            assert count < 128, "a server's frames are not masked"
            if count > 125:
                count = int.from_bytes(await self.reader.readexactly(2 if count == 126 else 8))
            payload = await self.reader.readexactly(count)
        return Frame(first[0] & 0x0F, payload, bool(first[0] & 0x80), first[0] & 0x70)

    async def read_to_end(self) -> list[Frame]:
        """All frames until the connection is closed."""
        frames = []
        while (got := await self.read_if_any()) is not None:
            frames.append(got)
        return frames

    def stop_reading(self) -> None:
        """From now on, what the server sends stays in the network."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    def read_again(self) -> None:
        """After `stop_reading`."""
        self.writer.transport.resume_reading()  # type: ignore[attr-defined]


# The server


class Echo:
    """Whose messages come back."""

    def __init__(self, socket: WebSocket, room: "Room") -> None:
        self.socket = socket
        self._room = room

    async def serve(self, stream: Stream) -> None:
        self.socket.attach(stream)
        self._room.sockets.append(self.socket)
        while (message := await self.socket.receive()) is not None:
            self.socket.send(Encoded(message))
            await self.socket.drain()
        await self.socket.finish()
        self._room.ended.append(self.socket)

    def leave(self) -> None:
        self.socket.close(GOING_AWAY, "leaving")


class Room:
    """A server with its sockets, the oldest first."""

    def __init__(self, limits: SocketLimits) -> None:
        self.limits = limits
        self.sockets: list[WebSocket] = []
        self.ended: list[WebSocket] = []
        self.server: Server

    async def open(self, request: Request) -> Response:
        """The handler."""
        handshake = read_handshake(request)
        echo = Echo(WebSocket(self.limits, handshake.deflate), self)
        return Response(101, accepting_fields(handshake), upgrade=echo)

    @asynccontextmanager
    async def peer(self, *fields: tuple[str, str], narrow: bool = False) -> AsyncIterator[Peer]:
        """A client whose handshake was taken. `narrow`: the network keeps little of what is sent to it."""
        async with self.stranger(narrow=narrow) as peer:
            peer.send(handshake_head(*fields))
            head = await peer.read_head()
            assert head.startswith(b"HTTP/1.1 101 "), head
            yield peer

    @asynccontextmanager
    async def stranger(self, *, narrow: bool = False) -> AsyncIterator[Peer]:
        """A client that has said nothing yet."""
        sock = socket.socket()
        sock.setblocking(False)
        if narrow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.server.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=MEBIBYTE)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()


@asynccontextmanager
async def echoing(limits: SocketLimits = GENEROUS, *, room_type: type[Room] = Room) -> AsyncIterator[Room]:
    """A server of ours while the block runs."""
    room = room_type(limits)
    async with serve(room.open, "127.0.0.1", 0, drain_seconds=1.0) as room.server:
        yield room
