"""Any frames, cut anywhere: our socket hears what wsproto hears in one piece, and never falls over."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from shared.http.stream import Stream
from shared.websocket.connection import LOST, NO_LIMIT, SocketLimits, WebSocket
from shared.websocket.deflate import Deflate
from tests.shared.websocket.peer import (
    BINARY,
    CONTINUATION,
    MEBIBYTE,
    PING,
    PONG,
    RSV1,
    TEXT,
    close_frame,
    frame,
)

LIMITS = SocketLimits(MEBIBYTE, NO_LIMIT)
FAULTS = (1002, 1007, 1009)


class Memory(asyncio.Transport):
    """A connection that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return False


@dataclass
class Heard:
    """What the server made of it: whole messages, its answers, and how it ended."""

    messages: list[str | bytes]
    written: bytes
    code: int


def heard(pieces: Sequence[bytes], deflate: Deflate | None = None) -> Heard:
    """By our socket, piece by piece; then the connection ends."""

    async def listen() -> Heard:
        stream, transport = Stream(), Memory()
        stream.connection_made(transport)
        socket = WebSocket(LIMITS, deflate)
        socket.attach(stream)
        listening = asyncio.create_task(_all_of(socket))
        for piece in pieces:
            stream.data_received(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)  # until it waits for the next piece
        stream.eof_received()
        return Heard(await listening, transport.written, socket.close_code)

    return asyncio.run(listen())


async def _all_of(socket: WebSocket) -> list[str | bytes]:
    messages = []
    while (message := await socket.receive()) is not None:
        messages.append(message)
    return messages


def expected(data: bytes) -> Heard:
    """By wsproto alone, all at once."""
    connection, result = Connection(ConnectionType.SERVER), Heard([], b"", LOST)
    connection.receive_data(data)
    text, octets = "", b""
    for event in connection.events():
        match event:
            case TextMessage():
                text += event.data
            case BytesMessage():
                octets += event.data
            case Ping():
                result.written += connection.send(event.response())
            case CloseConnection():
                result.code = event.code
                break
        if isinstance(event, TextMessage | BytesMessage) and event.message_finished:
            result.messages.append(text if isinstance(event, TextMessage) else octets)
            text, octets = "", b""
    return result


# Frames

controls = st.builds(frame, st.sampled_from([PING, PONG]), st.binary(max_size=125))
masks = st.binary(min_size=4, max_size=4)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """One message in fragments, with control frames between them."""
    text = draw(st.booleans())
    payload = draw(st.text(max_size=200)).encode() if text else draw(st.binary(max_size=200))
    cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=4)))
    pieces = list(_cut(payload, cuts))
    out = b""
    for number, piece in enumerate(pieces):
        kind = CONTINUATION if number else (TEXT if text else BINARY)
        out += frame(kind, piece, fin=number == len(pieces) - 1, mask=draw(masks))
        if draw(st.booleans()):
            out += draw(controls)
    return out


def _cut(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        yield data[start:end]


@st.composite
def conversations(draw: st.DrawFn) -> bytes:
    """Messages and pings, perhaps with a good-bye."""
    goodbyes = st.sampled_from([b"", close_frame(), close_frame(4000, b"bye"), close_frame(None)])
    parts = draw(st.lists(st.one_of(messages(), controls), max_size=5))
    return b"".join(parts) + draw(goodbyes)


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A conversation in which something is wrong, most likely."""
    data = bytearray(draw(conversations()) or b"\x81\x80\0\0\0\0")
    for place in draw(st.lists(st.integers(0, len(data) - 1), min_size=1, max_size=3)):
        data[place] ^= draw(st.integers(1, 255))
    return bytes(data)


def pieces_of(data: bytes, cuts: Sequence[int]) -> list[bytes]:
    """None of them empty."""
    return [piece for piece in _cut(data, sorted(cut % (len(data) + 1) for cut in cuts)) if piece]


cuts = st.lists(st.integers(0, 10_000), max_size=12)


@settings(max_examples=60)
@given(conversations(), cuts)
def test_pieces_make_no_difference(data: bytes, cuts: list[int]) -> None:
    got, wanted = heard(pieces_of(data, cuts)), expected(data)
    assert (got.messages, got.code) == (wanted.messages, wanted.code)
    assert got.written.startswith(wanted.written), "the same pongs"


@settings(max_examples=100)
@given(st.one_of(broken(), st.binary(max_size=300)), cuts)
def test_a_fault_is_found_where_wsproto_finds_it(data: bytes, cuts: list[int]) -> None:
    got, wanted = heard(pieces_of(data, cuts)), expected(data)
    assert (got.messages, got.code) == (wanted.messages, wanted.code)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.binary(max_size=80), st.booleans(), st.booleans()), max_size=6), cuts)
def test_rubbish_in_compressed_frames(frames: list[tuple[bytes, bool, bool]], cuts: list[int]) -> None:
    """No exception; a fault has one of three names."""
    data = b"".join(
        frame(CONTINUATION if continues else BINARY, payload, fin=fin, reserved=0 if continues else RSV1)
        for payload, fin, continues in frames
    )
    got = heard(pieces_of(data, cuts), Deflate())
    assert got.code in (*FAULTS, LOST)
