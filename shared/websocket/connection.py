"""One WebSocket, the server's end: whole messages in, frames out, and the closing handshake both ways.

Reading is linear: whoever owns the socket calls `receive` until it returns None, then `finish`. Writing never
waits: what the peer does not take stands in the transport's own buffer, and a peer who lets too much stand
there is closed. So one slow reader costs so many bytes, and nobody else waits for it.

Every way in which it ends has a code (RFC 6455 section 7.4), and the peer is told:

    the peer's own   it closed, and gets its own code back
    1001             we are leaving
    1002, 1007       the peer's frames break the protocol; its text is not UTF-8
    1008             the peer breaks a rule of ours: too many frames in a second, no answer to a ping
    1009             a message is too big, compressed or not
    4408             the peer reads too slowly

and whoever owns the socket may close it with codes of its own.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from shared.http.stream import ConnectionGone, DeadlineReached, Stream
from shared.websocket.deflate import Deflate, MessageDeflate
from shared.websocket.encoding import Encoded, size_of
from shared.websocket.pace import Pace, Rate

GOING_AWAY = int(CloseReason.GOING_AWAY)
UNSUPPORTED = int(CloseReason.UNSUPPORTED_DATA)
POLICY = int(CloseReason.POLICY_VIOLATION)
TOO_BIG = int(CloseReason.MESSAGE_TOO_BIG)
LOST = int(CloseReason.ABNORMAL_CLOSURE)  # never sent: the connection was lost without a word
TOO_SLOW = 4408

NO_LIMIT = Rate(0, 0)

_FAULTS = {
    CloseReason.PROTOCOL_ERROR: "the frames do not follow RFC 6455",
    CloseReason.INVALID_FRAME_PAYLOAD_DATA: "the text is not UTF-8, or cannot be inflated",
    CloseReason.MESSAGE_TOO_BIG: "the message is too big",
}


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What one peer may cost us. Breaking one ends the socket."""

    message_bytes: int = 65_536  # of one message, inflated: several times the longest text of ours
    frames: Rate = Rate(50, 100)  # noqa: RUF009 - frozen. Of every kind: pings cost as much as messages
    queue_bytes: int = 1_048_576  # sent and not taken: some thousand messages
    close_seconds: float = 5.0  # for the peer's half of the closing handshake, and to take our last words


class WebSocket:
    """A socket that both sides have agreed on. `attach` gives it its connection."""

    __slots__ = (
        "_close_frame",
        "_deflate",
        "_events",
        "_is_lost",
        "_is_pinged",
        "_is_reading",
        "_limits",
        "_pace",
        "_pieces",
        "_size",
        "_stream",
        "_wire",
        "close_code",
        "is_closed_by_us",
    )

    def __init__(self, limits: SocketLimits, deflate: Deflate | None) -> None:
        self._limits = limits
        self._deflate = deflate
        extensions = [] if deflate is None else [MessageDeflate(deflate, limits.message_bytes)]
        self._wire = Connection(ConnectionType.SERVER, [*extensions])
        self._pace = Pace(limits.frames, time.monotonic())
        self._stream: Stream | None = None
        self._events: Iterator[Event] | None = None  # of what has been received and not been dealt with
        self._pieces: list[str | bytes] = []  # of the message that is being received
        self._size = 0  # bytes of them
        self._close_frame = b""
        self._is_pinged = False
        self._is_reading = True  # more may come
        self._is_lost = False
        self.close_code = 0  # with which it was closed, by whom of both was first
        self.is_closed_by_us = False

    def attach(self, stream: Stream) -> None:
        """From now on it has a connection; what the peer has said already stands in its buffer."""
        self._stream = stream
        stream.set_deadline(None)
        if self.close_code:
            self._say_goodbye(stream)

    @property
    def is_open(self) -> bool:
        """Whether a message that is sent now may still be read."""
        return not self.close_code

    @property
    def queue_bytes(self) -> int:
        """What was sent and the system has not taken yet."""
        return 0 if self._stream is None else self._stream.transport.get_write_buffer_size()

    # Reading

    async def receive(self) -> str | bytes | None:
        """The next whole message; None when there will be no more. Pings are answered meanwhile."""
        while self._is_reading:
            if self._events is None:
                self._events = self._wire.events()
            for event in self._events:
                message = self._take(event)
                if message is not None:
                    return message
                if not self._is_reading:
                    return None
            self._events = None
            if self._is_reading:
                await self._read_more()
        return None

    async def finish(self) -> None:
        """End the connection once `receive` has returned None: the server closes first (section 7.1.1)."""
        stream = cast(Stream, self._stream)
        if self._is_lost:
            stream.abort()
            return
        await stream.linger(self._limits.close_seconds)
        if self.queue_bytes:  # nobody else would ever end it
            asyncio.get_running_loop().call_later(self._limits.close_seconds, stream.abort)

    async def _read_more(self) -> None:
        stream = cast(Stream, self._stream)
        try:
            if not stream.buffer and not await stream.receive():
                raise ConnectionGone
        except (ConnectionGone, DeadlineReached):
            self._is_reading, self._is_lost = False, True
            self.close_code = self.close_code or LOST
            return
        data, stream.buffer = stream.buffer, b""
        self._wire.receive_data(data)

    def _take(self, event: Event) -> str | bytes | None:
        """What `event` means to us; a message, if it completes one."""
        if isinstance(event, CloseConnection):
            self._peer_closes(event)
            return None
        if self.close_code:  # we are closing, and wait for the peer's half only, but not for everything
            self._is_reading = self._pace.allows(time.monotonic())
            return None
        match event:
            case TextMessage() | BytesMessage():
                return self._collect(event)
            case Ping():
                self._count_frame()
                self._reply(event)
            case Pong():
                self._count_frame()
                self._is_pinged = False
        return None

    def _reply(self, ping: Ping) -> None:
        if not self.close_code:
            self._write(self._wire.send(ping.response()))

    def _peer_closes(self, event: CloseConnection) -> None:
        """The peer's half of the closing handshake; or wsproto says so of frames that cannot be read on."""
        self._is_reading = False
        if self._wire.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self.fail(event.code, _FAULTS.get(CloseReason(event.code), ""))
            return
        if not self.close_code:
            self.close_code = event.code
            self._write(self._wire.send(CloseConnection(event.code)))

    def _collect(self, event: TextMessage | BytesMessage) -> str | bytes | None:
        piece = event.data if isinstance(event.data, str) else bytes(event.data)
        self._pieces.append(piece)
        self._size += size_of(piece)
        if event.frame_finished:
            self._count_frame()
        if self._size > self._limits.message_bytes:
            self.fail(TOO_BIG, f"a message may have {self._limits.message_bytes} bytes")
        if self.close_code or not event.message_finished:
            return None
        pieces, self._pieces, self._size = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else type(piece)().join(pieces)  # type: ignore[arg-type]

    def _count_frame(self) -> None:
        if not self._pace.allows(time.monotonic()):
            self.fail(POLICY, f"more than {self._limits.frames.per_second:g} frames a second")

    # Writing

    def send(self, message: Encoded) -> None:
        """Send, without waiting. A socket that is closing takes nothing more."""
        if not self.close_code:
            self._write(message.frame(self._deflate))

    async def drain(self) -> None:
        """Wait until the peer has taken most of what was sent, or is gone."""
        stream = cast(Stream, self._stream)
        if stream.is_congested:
            with suppress(ConnectionGone, DeadlineReached):  # whoever reads notices, too
                await stream.drain()

    def close(self, code: int, reason: str = "") -> None:
        """Begin to close, if nobody has; what was sent before still gets there.

        `code` is one of RFC 6455 section 7.4, `reason` at most 123 bytes.
        """
        if self.close_code:
            return
        self.close_code = code
        self.is_closed_by_us = True
        self._pieces = []
        self._close_frame = bytes(self._wire.send(CloseConnection(code, reason)))
        if self._stream is not None:
            self._say_goodbye(self._stream)

    def fail(self, code: int, reason: str) -> None:
        """As `close`, of a peer that has broken a rule: nothing more of it is read (section 7.1.7)."""
        self.close(code, reason)
        self._is_reading = False

    def _say_goodbye(self, stream: Stream) -> None:
        stream.write(self._close_frame)
        stream.set_deadline(self._limits.close_seconds)

    def _write(self, frame: bytes | bytearray) -> None:
        stream = self._stream
        if stream is None:
            return  # nobody is there yet
        stream.write(bytes(frame))
        if stream.is_congested and self.queue_bytes > self._limits.queue_bytes:
            self.fail(TOO_SLOW, f"more than {self._limits.queue_bytes} bytes wait to be read")

    # Signs of life (section 5.5.2)

    def ping(self) -> None:
        """Ask whether the peer is there."""
        if not self.close_code:
            self._is_pinged = True
            self._write(self._wire.send(Ping()))

    @property
    def is_silent(self) -> bool:
        """Whether it has not answered the latest ping."""
        return self._is_pinged and not self.close_code
