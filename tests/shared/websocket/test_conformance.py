"""What a server makes of each kind of frame, good and bad: a table in the manner of the Autobahn suite.

Where that suite (crossbar.io/autobahn) has such a case, its number is given. Each row is one connection to a
server that echoes: what the client sends, and what comes back. Last comes a close frame of the server, which
then hangs up: the answer to the client's, or what the server holds against it.
"""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import pytest_asyncio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, TextMessage
from wsproto.extensions import PerMessageDeflate

from shared.websocket.deflate import compress
from tests.shared.websocket.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    MEBIBYTE,
    PING,
    PONG,
    RSV1,
    RSV2,
    RSV3,
    SECONDS,
    TEXT,
    Frame,
    Room,
    close_frame,
    echoing,
    frame,
    handshake_head,
    in_fragments,
    length,
)

NORMAL, PROTOCOL_ERROR, BAD_DATA, TOO_BIG, NONE_GIVEN = 1000, 1002, 1007, 1009, 1005

KOSME = "κόσμε".encode()
BOTH_ENDS = "Hello-µ@ßöäüàá-UTF-8!!".encode()
SURROGATE, TOO_HIGH, OVERLONG = b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf"
EDITED = KOSME + SURROGATE + b"edited"  # case 6.3.1

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def room() -> AsyncIterator[Room]:
    async with echoing() as server:
        yield server


@dataclass(frozen=True)
class Case:
    """What is sent; the `answers` to it; the code of the close frame after them."""

    number: str
    sent: bytes
    answers: tuple[Frame, ...]
    code: int

    def __str__(self) -> str:
        return self.number


def good(number: str, *sent: bytes, answers: tuple[Frame, ...] = ()) -> Case:
    """Nobody is at fault, and the client closes."""
    return Case(number, b"".join([*sent, close_frame()]), answers, NORMAL)


def echo(number: str, opcode: int, payload: bytes) -> Case:
    return good(number, frame(opcode, payload), answers=(Frame(opcode, payload),))


def fault(number: str, *sent: bytes, code: int = PROTOCOL_ERROR, answers: tuple[Frame, ...] = ()) -> Case:
    """What follows a fault is not answered any more."""
    return Case(number, b"".join([*sent, frame(PING, b"and now?")]), answers, code)


def closed(number: str, *sent: bytes, code: int = NORMAL) -> Case:
    """Nor is what follows a close frame."""
    return Case(number, b"".join(sent), (), code)


HELLO = Frame(TEXT, b"Hello")
SIZES = (0, 125, 126, 127, 128, 65_535, 65_536)

FRAMING = [
    *(echo(f"1.1.{number} text of {size}", TEXT, b"*" * size) for number, size in enumerate(SIZES, 1)),
    *(echo(f"1.2.{number} binary of {size}", BINARY, b"\xfe" * size) for number, size in enumerate(SIZES, 1)),
]

PINGS = [
    good("2.1 an empty ping", frame(PING), answers=(Frame(PONG, b""),)),
    good("2.2 a ping with text", frame(PING, b"Hello"), answers=(Frame(PONG, b"Hello"),)),
    good("2.3 a ping that is no text", frame(PING, b"\x00\xff\xfe"), answers=(Frame(PONG, b"\x00\xff\xfe"),)),
    good("2.4 the longest ping", frame(PING, b"\xfe" * 125), answers=(Frame(PONG, b"\xfe" * 125),)),
    fault("2.5 a ping that is too long", frame(PING, b"\xfe" * 126)),
    good("2.7 a pong that nobody asked for", frame(PONG)),
    good("2.8 one with a payload", frame(PONG, b"unsolicited")),
    good("2.9 and a ping", frame(PONG, b"unsolicited") + frame(PING, b"x"), answers=(Frame(PONG, b"x"),)),
    good(
        "2.10 ten pings",
        *(frame(PING, b"%d" % number) for number in range(10)),
        answers=tuple(Frame(PONG, b"%d" % number) for number in range(10)),
    ),
]

RESERVED_BITS = [
    fault("3.1 the third bit", frame(TEXT, b"a", reserved=RSV3)),
    fault("3.2 after a good one", frame(TEXT, b"Hello"), frame(TEXT, b"a", reserved=RSV2), answers=(HELLO,)),
    fault("3.3 two of them", frame(TEXT, b"a", reserved=RSV2 | RSV3)),
    fault("3.4 the first without compression", frame(TEXT, b"a", reserved=RSV1)),
    fault("3.5 binary", frame(BINARY, b"\xff", reserved=RSV1 | RSV3)),
    fault("3.6 a ping", frame(PING, b"a", reserved=RSV1 | RSV2)),
    fault("3.7 a close frame", frame(CLOSE, b"", reserved=RSV1 | RSV2 | RSV3)),
]

RESERVED_OPCODES = [
    *(fault(f"4.1 opcode {opcode}", frame(opcode)) for opcode in (3, 4, 5, 6, 7)),
    *(fault(f"4.2 opcode {opcode}", frame(opcode, b"a")) for opcode in (11, 12, 13, 14, 15)),
    fault("4.1.3 after a good one", frame(TEXT, b"Hello"), frame(5), answers=(HELLO,)),
]


def begun(payload: bytes = b"frag1") -> bytes:
    return frame(TEXT, payload, fin=False)


def more(payload: bytes, *, fin: bool) -> bytes:
    return frame(CONTINUATION, payload, fin=fin)


WHOLE = Frame(TEXT, b"frag1frag2")
PONGED = Frame(PONG, b"p")
FRAGMENTS = [
    fault("5.1 a ping in pieces", frame(PING, b"a", fin=False), more(b"b", fin=True)),
    fault("5.2 a pong in pieces", frame(PONG, b"a", fin=False), more(b"b", fin=True)),
    good("5.3 text in two pieces", begun(), more(b"frag2", fin=True), answers=(WHOLE,)),
    good("5.6 a ping between", begun(), frame(PING, b"p"), more(b"frag2", fin=True), answers=(PONGED, WHOLE)),
    fault("5.9 nothing to go on with", more(b"a", fin=True), frame(TEXT, b"Hello")),
    fault("5.11 nor one that goes on", more(b"a", fin=False), frame(TEXT, b"Hello")),
    fault(
        "5.15 after a whole one", begun(), more(b"frag2", fin=True), more(b"x", fin=False), answers=(WHOLE,)
    ),
    fault("5.18 two beginnings", begun(), frame(TEXT, b"frag2")),
    fault("5.18 two beginnings of two kinds", begun(), frame(BINARY, b"frag2", fin=False)),
    good(
        "5.19 four pieces, two pings",
        *(begun(b"1"), more(b"2", fin=False), frame(PING, b"p"), more(b"3", fin=False)),
        *(frame(PING, b"p"), more(b"4", fin=True)),
        answers=(PONGED, PONGED, Frame(TEXT, b"1234")),
    ),
    good(
        "6.1.2 empty pieces",
        begun(b""),
        more(b"", fin=False),
        more(b"", fin=True),
        answers=(Frame(TEXT, b""),),
    ),
    good(
        "6.1.3 one is not",
        begun(b""),
        more(b"a", fin=False),
        more(b"", fin=True),
        answers=(Frame(TEXT, b"a"),),
    ),
    fault("5 a close frame in pieces", frame(CLOSE, b"\x03\xe8", fin=False)),
]

HEADERS = [
    fault("without a mask", frame(TEXT, b"a", mask=None)),
    fault("a ping without a mask", frame(PING, b"a", mask=None)),
    good("a mask that hides nothing", frame(TEXT, b"Hello", mask=bytes(4)), answers=(HELLO,)),
    fault("two octets for a small length", b"\x81\xfe\x00\x05\0\0\0\0Hello"),
    fault("eight octets for a small length", b"\x81\xff" + (5).to_bytes(8) + b"\0\0\0\0Hello"),
    fault("eight octets for two", b"\x82\xff" + (65_535).to_bytes(8) + b"\0\0\0\0Hello"),
    fault("a length with the highest bit", b"\x82\xff" + (1 << 63).to_bytes(8) + b"\0\0\0\0Hello"),
]

GOOD_TEXTS = [
    KOSME,
    BOTH_ENDS,
    b"\x00",
    b"\x7f",
    "\x80\u07ff\u0800\uffff\U00010000\U0010ffff".encode(),
    "\ud7ff\ue000\ufffd\ufeff".encode(),  # around the surrogates
]
BAD_TEXTS = [
    EDITED,
    TOO_HIGH,
    OVERLONG,
    b"\x80",
    b"\xbf\x80",
    b"\xfe",
    b"\xff",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    SURROGATE,
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce",  # the last character is cut off
    b"\xe1\xbd",
    b"\xc3(",
]
UTF_8 = [
    *(echo(f"6.5 {text!r}", TEXT, text) for text in GOOD_TEXTS),
    *(
        good(f"6.2.4 {text!r}", in_fragments(TEXT, text, 1), answers=(Frame(TEXT, text),))
        for text in GOOD_TEXTS
    ),
    *(fault(f"6.6 {text!r}", frame(TEXT, text), code=BAD_DATA) for text in BAD_TEXTS),
    *(fault(f"6.3.2 {text!r}", in_fragments(TEXT, text, 1), code=BAD_DATA) for text in BAD_TEXTS),
    *(echo(f"binary {text!r}", BINARY, text) for text in (SURROGATE, b"\xff")),
    fault("6.4.1 at once: the message does not end", begun(KOSME + TOO_HIGH), code=BAD_DATA),
    fault("6.4.2 its second piece", begun(KOSME + b"\xf4"), more(b"\x90", fin=False), code=BAD_DATA),
    fault(
        "6.4.3 nor does the frame",
        b"\x81" + length(50) + bytes(4) + KOSME + SURROGATE,
        code=BAD_DATA,
    ),
]


USABLE = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)
NOT_USABLE = (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
CLOSING = [
    closed("7.1.2 twice", close_frame(), close_frame()),
    closed("7.1.3 a ping after it", close_frame(), frame(PING, b"a")),
    closed("7.1.4 a message after it", close_frame(), frame(TEXT, b"a")),
    closed("7.1.5 in the middle of one", begun(), close_frame(), more(b"frag2", fin=True)),
    closed("7.1.6 much after it", close_frame(), frame(BINARY, bytes(MEBIBYTE)), frame(PING)),
    closed("7.3.1 without a code", close_frame(None), code=NONE_GIVEN),
    closed("7.3.2 half a code", frame(CLOSE, b"a"), code=PROTOCOL_ERROR),
    closed("7.3.4 with a reason", close_frame(1000, b"Hello")),
    closed("7.3.5 the longest reason", close_frame(1000, b"*" * 123)),
    closed("7.3.6 one that is too long", close_frame(1000, b"*" * 124), code=PROTOCOL_ERROR),
    closed("7.5.1 a reason that is no text", close_frame(1000, EDITED), code=BAD_DATA),
    *(closed(f"7.7 code {code}", close_frame(code), code=code) for code in USABLE),
    *(closed(f"7.9 code {code}", close_frame(code), code=PROTOCOL_ERROR) for code in NOT_USABLE),
]

CASES = [
    *FRAMING,
    *PINGS,
    *RESERVED_BITS,
    *RESERVED_OPCODES,
    *FRAGMENTS,
    *HEADERS,
    *UTF_8,
    *CLOSING,
]
SHORT = [case for case in CASES if len(case.sent) < 100 and not case.number.startswith("6")]


@pytest.mark.parametrize("case", CASES, ids=str)
async def test_what_comes_back(room: Room, case: Case) -> None:
    async with room.peer() as peer:
        peer.send(case.sent)
        *answers, last = await peer.read_to_end()
    assert (tuple(answers), last.code) == (case.answers, case.code)


@pytest.mark.parametrize("case", SHORT, ids=str)
async def test_the_same_octet_by_octet(room: Room, case: Case) -> None:
    """Cases 1.1.8, 2.6, 5.5 and others: a frame's header and payload may come in any pieces."""
    async with room.peer() as peer:
        await peer.send_one_by_one(case.sent)
        *answers, last = await peer.read_to_end()
    assert (tuple(answers), last.code) == (case.answers, case.code)


# Large messages (case 9), and many (case 10)


@pytest.mark.parametrize(("opcode", "size"), [(TEXT, 16 * MEBIBYTE), (BINARY, MEBIBYTE)])
async def test_big_messages(room: Room, opcode: int, size: int) -> None:
    payload = b"*" * size
    async with room.peer() as peer:
        peer.send(frame(opcode, payload), close_frame())
        assert await peer.read() == Frame(opcode, payload)
        assert (await peer.read()).code == NORMAL


@pytest.mark.parametrize("size", [1300, 65_536])
async def test_big_messages_in_pieces(room: Room, size: int) -> None:
    payload = os.urandom(MEBIBYTE)
    async with room.peer() as peer:
        peer.send(in_fragments(BINARY, payload, size))
        assert await peer.read() == Frame(BINARY, payload)


async def test_a_message_that_is_too_big(room: Room) -> None:
    async with room.peer() as peer:
        peer.send(frame(BINARY, bytes(16 * MEBIBYTE + 1), mask=bytes(4)))
        assert (await peer.read()).code == TOO_BIG


async def test_no_more_than_the_limit_has_to_arrive(room: Room) -> None:
    """A frame that announces 4 GiB is not waited for."""
    async with room.peer() as peer:
        peer.send(b"\x82", length(1 << 32), bytes(4), bytes(16 * MEBIBYTE + 1))
        assert (await peer.read()).code == TOO_BIG


async def test_many_messages_at_once(room: Room) -> None:
    """Case 9.7."""
    messages = [Frame(TEXT, b"%d" % number) for number in range(1000)]
    async with room.peer() as peer:
        peer.send(*(frame(TEXT, each.payload) for each in messages), close_frame())
        *answers, _ = await peer.read_to_end()
    assert answers == messages


# Compression (cases 12 and 13)

OFFERS = [
    "",
    "; client_no_context_takeover",
    "; server_no_context_takeover; client_no_context_takeover",
    "; client_max_window_bits",
    "; client_max_window_bits=9; server_max_window_bits=9",
    "; server_max_window_bits=12; server_no_context_takeover",
    "; server_max_window_bits=15",
    "; server_max_window_bits=8, permessage-deflate",
]
PACKED: list[TextMessage | BytesMessage] = [
    *(TextMessage("*" * size) for size in (0, 10, 125, 126, 200, 1024, 65_536, 131_072)),
    TextMessage("".join(f'{{"number":{number}}}' for number in range(5000))),
    *(BytesMessage(os.urandom(size)) for size in (0, 199, 200, 70_000)),
]


@pytest.mark.parametrize("offer", OFFERS)
async def test_compressed_both_ways(room: Room, offer: str) -> None:
    """The other end is wsproto's, which holds the server to what was agreed on."""
    async with room.stranger() as peer:
        peer.send(handshake_head(("Sec-WebSocket-Extensions", f"permessage-deflate{offer}")))
        client = _client(await peer.read_head())
        peer.send(*map(client.send, PACKED), client.send(CloseConnection(NORMAL)))
        async with asyncio.timeout(SECONDS):
            client.receive_data(await peer.reader.read())
    *answers, goodbye = client.events()
    assert _joined(answers) == [message.data for message in PACKED]
    assert goodbye == CloseConnection(NORMAL, "")


def _client(head: bytes) -> Connection:
    """One that keeps to the server's answer."""
    agreed = re.search(r"(?m)^Sec-WebSocket-Extensions: (.*)\r$", head.decode())
    assert agreed is not None, head
    deflate = PerMessageDeflate()
    deflate.finalize(agreed[1])
    return Connection(ConnectionType.CLIENT, [deflate])


def _joined(events: list[Event]) -> list[str | bytes]:
    """Whole messages."""
    messages, text, octets = list[str | bytes](), "", b""
    for event in events:
        assert isinstance(event, TextMessage | BytesMessage)
        if isinstance(event, TextMessage):
            text += event.data
        else:
            octets += event.data
        if event.message_finished:
            messages.append(text if isinstance(event, TextMessage) else octets)
            text, octets = "", b""
    return messages


def packed(data: bytes) -> bytes:
    """As it is on the wire (RFC 7692 section 7.2.1)."""
    return b"".join(compress(data, 15))


HELLO_PACKED = packed(b"Hello")
WITH_DEFLATE = [
    good("7.2.3.1", frame(TEXT, HELLO_PACKED, reserved=RSV1), answers=(HELLO,)),
    good("uncompressed", frame(TEXT, b"Hello"), answers=(HELLO,)),
    good(
        "pieces with a ping between",
        *(frame(TEXT, HELLO_PACKED[:3], fin=False, reserved=RSV1), frame(PING, b"p")),
        *(more(HELLO_PACKED[3:5], fin=False), frame(PING, b"p"), more(HELLO_PACKED[5:], fin=True)),
        answers=(PONGED, PONGED, HELLO),
    ),
    fault("a compressed ping", frame(PING, b"a", reserved=RSV1)),
    fault("a compressed close frame", frame(CLOSE, b"\x03\xe8", reserved=RSV1)),
    fault("a compressed continuation", begun(), frame(CONTINUATION, b"a", reserved=RSV1)),
    fault("another reserved bit", frame(TEXT, HELLO_PACKED, reserved=RSV1 | RSV2)),
    fault("nothing to inflate", frame(TEXT, b"\xff" * 9, reserved=RSV1), code=BAD_DATA),
    fault("text that is none once inflated", frame(TEXT, packed(EDITED), reserved=RSV1), code=BAD_DATA),
    fault("a bomb", frame(BINARY, packed(bytes(16 * MEBIBYTE + 1)), reserved=RSV1), code=TOO_BIG),
]


@pytest.mark.parametrize("case", WITH_DEFLATE, ids=str)
async def test_what_comes_back_where_compression_was_agreed_on(room: Room, case: Case) -> None:
    async with room.peer(DEFLATE) as peer:
        peer.send(case.sent)
        *answers, last = await peer.read_to_end()
    assert (tuple(answers), last.code) == (case.answers, case.code)
