"""A client of the WebSocket protocol (RFC 6455) for our own tools and tests: text over asyncio streams.

wsproto knows the frames. Here is what it leaves to others: the connection, whole messages out of their
pieces, the answers to pings, and the closing handshake both ways. There is no bound on a message: our tools
believe the server that they call.
"""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urlsplit

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits
from wsproto.utilities import RemoteProtocolError

OPENING_SECONDS = 10.0
CLOSING_SECONDS = 2.0  # for the server's answer to our goodbye
READ_BYTES = 65_536
NORMAL, PROTOCOL_ERROR, UNSUPPORTED, ABNORMAL = 1000, 1002, 1003, 1006  # RFC 6455 section 7.4.1


class HandshakeRefused(Exception):
    """The server answered with another HTTP status than 101. `problem` is its document (RFC 9457), if any."""

    def __init__(self, refusal: RejectConnection, body: bytes) -> None:
        self.status = refusal.status_code
        self.headers = {name.decode().lower(): value.decode("latin-1") for name, value in refusal.headers}
        self.problem = _problem(body)
        super().__init__(f"{self.status} {self.detail}".strip())

    @property
    def detail(self) -> str:
        """What went wrong, in the server's words; empty when it has said nothing."""
        return str(self.problem.get("detail", ""))


class SocketClosed(Exception):
    """The connection is over. `code` and `reason` are those of the close frame; 1006 when there was none."""

    def __init__(self, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(f"{code} {reason}".strip())


class ClientDeflate(PerMessageDeflate):
    """As wsproto's, but a control frame between the pieces of a message is no part of it.

    wsproto 1.3.2 takes what follows such a frame for uncompressed.
    """

    _is_control = False

    def frame_inbound_header(  # noqa: D102 - the class says it all
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._is_control = opcode.iscontrol()
        if self._is_control:
            return CloseReason.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(True, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(  # noqa: D102
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        return data if self._is_control else super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(  # noqa: D102
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        return None if self._is_control else super().frame_inbound_complete(proto, fin)


class Socket:
    """An open connection. One task may receive while another sends.

    Pings are answered while somebody waits in `receive`: who stays away from it for long is given up by the
    server. Who does not call it leaves messages in the network, as any slow reader does.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._wire = WSConnection(ConnectionType.CLIENT)
        self._pieces: list[str] = []  # of the message that is arriving
        self._end: tuple[int, str] | None = None  # the close code and reason, once they are known

    async def send(self, text: str) -> None:
        """Send one message; that it has arrived is not known. Raises SocketClosed."""
        if self._end is not None or self._wire.state is not ConnectionState.OPEN:
            raise self._closed(ABNORMAL, "")
        await self._send(TextMessage(text))

    async def receive(self) -> str:
        """The next message. May be cancelled: nothing gets lost. Raises SocketClosed."""
        while True:
            for event in self._wire.events():
                if (message := await self._handle(event)) is not None:
                    return message
            if self._end is not None:
                raise self._closed(*self._end)
            if not (data := await self._read()):
                raise self._closed(ABNORMAL, "")
            self._wire.receive_data(data)

    async def close(self, code: int = NORMAL, reason: str = "") -> None:
        """Say goodbye, wait for the answer, and hang up. What still arrives is dropped.

        No other task may be receiving.
        """
        with suppress(SocketClosed, TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                if self._end is None and self._wire.state is ConnectionState.OPEN:
                    await self._send(CloseConnection(code, reason))
                while True:
                    await self.receive()
        await self._hang_up()

    async def open(self, request: Request) -> None:
        """Shake hands, before anything else. Raises HandshakeRefused, SocketClosed."""
        await self._send(request)
        refusal, body = None, b""
        while refusal is None or self._wire.state is ConnectionState.REJECTING:
            if not (data := await self._read()) and refusal is None:
                raise self._closed(ABNORMAL, "no answer to the handshake")
            for event in self._taken_in(data):
                if isinstance(event, AcceptConnection):
                    return
                if isinstance(event, RejectConnection):
                    refusal = event
                elif isinstance(event, RejectData):
                    body += event.data
        raise HandshakeRefused(refusal, body)

    async def _handle(self, event: Event) -> str | None:
        """The message that is complete now; None when none is."""
        match event:
            case TextMessage():
                return self._whole(event)
            case Ping() if self._wire.state is ConnectionState.OPEN:  # later, nothing but goodbye may be said
                await self._send(event.response())
            case CloseConnection():
                await self._say_goodbye(event)
            case BytesMessage():
                await self._say_goodbye(CloseConnection(UNSUPPORTED, "text only"))
        return None

    def _whole(self, piece: TextMessage) -> str | None:
        self._pieces.append(piece.data)
        if not piece.message_finished:
            return None
        message, self._pieces = "".join(self._pieces), []
        return message

    async def _say_goodbye(self, close: CloseConnection) -> None:
        """`close` is the server's, or its answer to ours, or says what we hold against the server."""
        self._end = (int(close.code), close.reason or "")
        if self._wire.state is ConnectionState.REMOTE_CLOSING:
            await self._send(close.response())
        elif self._wire.state is ConnectionState.OPEN:
            await self._send(close)

    def _taken_in(self, data: bytes) -> Iterable[Event]:
        try:
            self._wire.receive_data(data)
        except RemoteProtocolError as failure:
            raise self._closed(PROTOCOL_ERROR, f"a bad handshake: {failure}") from failure
        return self._wire.events()

    async def _send(self, event: Event) -> None:
        self._writer.write(self._wire.send(event))
        try:
            await self._writer.drain()
        except OSError as failure:
            raise self._closed(ABNORMAL, "") from failure

    async def _read(self) -> bytes:
        """What has arrived; empty at the end."""
        try:
            return await self._reader.read(READ_BYTES)
        except OSError:
            return b""

    def _closed(self, code: int, reason: str) -> SocketClosed:
        """The first end there was; this one, if there has been none."""
        self._end = self._end or (code, reason)
        return SocketClosed(*self._end)

    async def _hang_up(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


@asynccontextmanager
async def connect(
    url: str, *, origin: str | None = None, headers: Iterable[tuple[str, str]] = (), compress: bool = True
) -> AsyncIterator[Socket]:
    """A connection to `url` (ws or wss), closed with 1000 in the end.

    `origin` is what a browser would say of the page; `compress` offers permessage-deflate (RFC 7692). Raises
    HandshakeRefused, SocketClosed, OSError when nobody listens, TimeoutError when nobody answers.
    """
    fields = [*headers, *([("Origin", origin)] if origin is not None else [])]
    parts = urlsplit(url)
    request = Request(
        host=parts.netloc.rpartition("@")[2],
        target=f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}",
        extensions=[ClientDeflate()] if compress else [],
        extra_headers=[(name.encode(), value.encode("latin-1")) for name, value in fields],
    )
    socket = await _opened(parts, request)
    try:
        yield socket
    finally:
        await socket.close()


async def _opened(parts: SplitResult, request: Request) -> Socket:
    tls = ssl.create_default_context() if parts.scheme == "wss" else None
    port = parts.port or (80 if tls is None else 443)
    async with asyncio.timeout(OPENING_SECONDS):
        reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=tls)
        try:
            socket = Socket(reader, writer)
            await socket.open(request)
        except BaseException:
            writer.transport.abort()
            raise
    return socket


def _problem(body: bytes) -> Mapping[str, Any]:
    try:
        document = json.loads(body)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
