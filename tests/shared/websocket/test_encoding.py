"""One frame for all receivers, which both wsproto and `websockets` can read."""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from websockets.extensions.permessage_deflate import PerMessageDeflate as TheirDeflate
from websockets.frames import Frame
from websockets.streams import StreamReader
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage
from wsproto.extensions import Extension, PerMessageDeflate

from shared.websocket.deflate import Deflate
from shared.websocket.encoding import WORTH_COMPRESSING_BYTES, Encoded
from tests.shared.websocket.peer import RSV1

T = TypeVar("T")

MESSAGES = ["", "hello", "é" * 100, "a" * 300, "é" * 70_000, b"", b"\0" * 125, os.urandom(126), bytes(70_000)]
AGREEMENTS = [None, Deflate(), Deflate(9), Deflate(12)]


def read_by_wsproto(frame: bytes, deflate: Deflate | None) -> str | bytes:
    extensions: list[Extension] = []
    if deflate is not None:
        extensions.append(PerMessageDeflate())
        extensions[0].finalize(f"permessage-deflate; {deflate.parameters}")
    connection = Connection(ConnectionType.CLIENT, extensions)
    connection.receive_data(frame)
    events = list(connection.events())
    assert all(isinstance(event, TextMessage | BytesMessage) for event in events)
    assert events[-1].message_finished  # type: ignore[attr-defined]
    data = [event.data for event in events]  # type: ignore[attr-defined]
    return "".join(data) if isinstance(data[0], str) else b"".join(map(bytes, data))


def read_by_websockets(frame: bytes, deflate: Deflate | None) -> str | bytes:
    octets = StreamReader()
    octets.feed_data(frame)
    octets.feed_eof()
    extensions = [] if deflate is None else [TheirDeflate(True, True, deflate.window_bits, 15)]
    got = _result(Frame.parse(octets.read_exact, mask=False, extensions=extensions))
    assert _result(octets.at_eof())
    return bytes(got.data).decode() if got.opcode == 1 else bytes(got.data)


def _result(parsing: Generator[None, None, T]) -> T:
    try:
        next(parsing)
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("the frame is incomplete")


@pytest.mark.parametrize("deflate", AGREEMENTS)
@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: f"{type(message).__name__} {len(message)}")
def test_others_can_read_it(message: str | bytes, deflate: Deflate | None) -> None:
    frame = Encoded(message).frame(deflate)
    assert read_by_wsproto(frame, deflate) == message
    assert read_by_websockets(frame, deflate) == message


def test_it_is_made_once_for_all_who_have_agreed_on_the_same() -> None:
    message = Encoded("a" * 1000)
    plain, packed = message.frame(None), message.frame(Deflate())
    assert message.frame(None) is plain
    assert message.frame(Deflate()) is packed
    assert message.frame(Deflate(9)) is not packed
    assert len(packed) < 50 < len(plain)


def test_what_hardly_shrinks_is_not_compressed() -> None:
    short, long = (Encoded("a" * count).frame(Deflate()) for count in (WORTH_COMPRESSING_BYTES - 1, 200))
    assert (short[0] & RSV1, long[0] & RSV1) == (0, RSV1)


def test_one_message_leaves_nothing_behind_for_the_next() -> None:
    """The same octets whatever went before: a receiver that came later can read them."""
    first = Encoded("a" * 1000).frame(Deflate())
    Encoded("b" * 5000).frame(Deflate())
    assert Encoded("a" * 1000).frame(Deflate()) == first
