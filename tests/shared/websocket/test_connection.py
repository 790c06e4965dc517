"""One socket and its peer: limits, back-pressure, and every way in which it may end."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from shared.http.messages import Request, Response
from shared.websocket.connection import (
    GOING_AWAY,
    LOST,
    NO_LIMIT,
    POLICY,
    TOO_BIG,
    TOO_SLOW,
    SocketLimits,
    WebSocket,
)
from shared.websocket.encoding import Encoded
from shared.websocket.pace import Rate
from tests.shared.websocket.peer import (
    BINARY,
    CLOSE,
    CONTINUATION,
    DEFLATE,
    MEBIBYTE,
    PING,
    PONG,
    TEXT,
    Frame,
    Peer,
    Room,
    close_frame,
    echoing,
    frame,
    handshake_head,
)
from tests.waiting import eventually

HIGH_WATER = 65_536  # of the transports: beyond it, whoever writes is asked to wait
SHORT = 0.2
BRIEF = SocketLimits(frames=NO_LIMIT, close_seconds=SHORT)
LONG_ENOUGH = 5.0  # for something to have come to an end that takes SHORT


async def the_socket(room: Room) -> WebSocket:
    """The server's end of the only connection."""
    await eventually(lambda: len(room.sockets) == 1)
    return room.sockets[0]


async def fill(socket: WebSocket) -> None:
    """Send until it is closed because nobody reads."""
    while socket.is_open:
        socket.send(Encoded(bytes(65_536)))
        await asyncio.sleep(0)


async def settled(value: Callable[[], int]) -> None:
    """Return when `value` has been the same for a while."""
    seen = [value()]

    def stands_still() -> bool:
        seen.append(value())
        return seen[-50:] == [seen[-1]] * 50

    await eventually(stands_still)


# Limits


@pytest.mark.parametrize("fields", [(), (DEFLATE,)])
async def test_a_message_may_have_so_many_bytes_of_utf_8(fields: tuple[tuple[str, str], ...]) -> None:
    async with echoing(replace(BRIEF, message_bytes=10)) as room, room.peer(*fields) as peer:
        peer.send(frame(TEXT, "é".encode() * 5), frame(BINARY, b"0123456789"))
        assert (await peer.read()).payload == "é".encode() * 5
        assert (await peer.read()).payload == b"0123456789"
        peer.send(frame(TEXT, b"01234", fin=False), frame(CONTINUATION, "é".encode() * 3))
        last = await peer.read()
    assert (last.code, last.reason) == (TOO_BIG, "a message may have 10 bytes")


async def test_frames_of_every_kind_count_in_the_rate() -> None:
    """Who sends too many is not asked for a farewell: the connection ends at once."""
    limits = replace(BRIEF, frames=Rate(per_second=0.001, burst=6), close_seconds=60.0)
    async with echoing(limits) as room, room.peer() as peer:
        peer.send(frame(TEXT, b"a", fin=False), frame(CONTINUATION, b"b"), frame(PONG))
        peer.send(frame(PING) * 4)
        *answers, last = await peer.read_to_end()
    assert answers == [Frame(TEXT, b"ab"), *[Frame(PONG, b"")] * 3]
    assert (last.code, last.reason) == (POLICY, "more than 0.001 frames a second")


async def test_a_frame_counts_once_in_however_many_pieces_it_comes() -> None:
    limits = replace(BRIEF, frames=Rate(0.001, 1), message_bytes=MEBIBYTE)
    async with echoing(limits) as room, room.peer() as peer:
        peer.send(frame(TEXT, b"a" * MEBIBYTE))
        assert await peer.read() == Frame(TEXT, b"a" * MEBIBYTE)


# Back-pressure


async def test_who_sends_and_does_not_read_is_not_read_either() -> None:
    """What the server keeps of it is bounded, and nothing gets lost."""
    message, count = bytes(65_536), 250
    async with echoing(replace(BRIEF, message_bytes=65_536)) as room, room.peer(narrow=True) as peer:
        peer.stop_reading()
        peer.send(frame(BINARY, message, mask=bytes(4)) * count)
        unsent = peer.writer.transport.get_write_buffer_size
        await settled(unsent)
        assert unsent() > 10 * len(message), "the peer stands still"
        assert room.sockets[0].queue_bytes <= HIGH_WATER + len(message) + 10
        peer.read_again()
        for _ in range(count):
            assert len((await peer.read()).payload) == len(message)


async def test_a_reader_that_is_too_slow_is_closed_and_nobody_waits_for_it() -> None:
    limits = replace(BRIEF, queue_bytes=262_144, close_seconds=LONG_ENOUGH)
    message, sent = Encoded(bytes(16_384)), 0
    async with echoing(limits) as room, room.peer(narrow=True) as slow, room.peer() as quick:
        slow.stop_reading()
        await eventually(lambda: len(room.sockets) == 2)
        theirs, ours = room.sockets
        while theirs.is_open:
            for socket in room.sockets:
                socket.send(message)
            sent += 1
            got = await quick.read()
            assert len(got.payload) == 16_384, "at once, while the other stands still"
            assert sent < 1000
        assert theirs.queue_bytes <= limits.queue_bytes + 2 * 16_384
        assert (theirs.close_code, theirs.is_closed_by_us) == (TOO_SLOW, True)
        assert ours.is_open
        slow.read_again()
        *frames, last = [await slow.read() for _ in range(sent + 1)]
    assert (last.code, last.reason) == (TOO_SLOW, "more than 262144 bytes wait to be read")
    assert {len(each.payload) for each in frames} == {16_384}, "what was sent before is whole"


async def test_one_that_never_reads_is_gone_soon() -> None:
    limits = replace(BRIEF, queue_bytes=262_144)
    async with echoing(limits) as room, room.peer(narrow=True) as slow:
        slow.stop_reading()
        socket = await the_socket(room)
        await fill(socket)
        await eventually(lambda: room.ended == [socket], LONG_ENOUGH)
        await eventually(lambda: not socket.queue_bytes)


async def test_a_goodbye_that_breaks_the_protocol_keeps_nothing_alive() -> None:
    """Its queue is not waited for, for ever, because the peer has said something that ends it."""
    async with echoing(replace(BRIEF, queue_bytes=262_144)) as room, room.peer(narrow=True) as slow:
        slow.stop_reading()
        socket = await the_socket(room)
        await fill(socket)
        slow.send(frame(3))
        await eventually(lambda: room.ended == [socket], LONG_ENOUGH)
        await eventually(lambda: not socket.queue_bytes, LONG_ENOUGH)


async def test_pings_that_nobody_reads_the_answers_to() -> None:
    limits = replace(BRIEF, queue_bytes=262_144)
    async with echoing(limits) as room, room.peer(narrow=True) as peer:
        peer.stop_reading()
        socket = await the_socket(room)
        while socket.queue_bytes < 250_000:
            socket.send(Encoded(bytes(4096)))
            await asyncio.sleep(0)
        peer.send(frame(PING, bytes(125)) * 200)
        await eventually(lambda: not socket.is_open, LONG_ENOUGH)
        assert socket.close_code == TOO_SLOW


# Closing


async def test_the_peer_closes() -> None:
    async with echoing(BRIEF) as room, room.peer() as peer:
        peer.send(frame(TEXT, b"last words"), close_frame(3333, b"bye"))
        assert await peer.read_to_end() == [Frame(TEXT, b"last words"), Frame(CLOSE, b"\x0d\x05")]
        peer.writer.close()
        await eventually(lambda: bool(room.ended))
        assert (room.ended[0].close_code, room.ended[0].is_closed_by_us) == (3333, False)


async def test_we_close() -> None:
    async with echoing(replace(BRIEF, close_seconds=LONG_ENOUGH)) as room, room.peer() as peer:
        socket = await the_socket(room)
        socket.send(Encoded("before"))
        socket.close(4401, "é" * 100)
        socket.close(1000, "again")
        socket.send(Encoded("after"))
        assert await peer.read() == Frame(TEXT, b"before")
        last = await peer.read()
        assert (last.code, last.reason) == (4401, "é" * 61), "no more than 123 bytes fit"
        peer.send(frame(TEXT, b"crossed on the way"), frame(PING), close_frame(4401))
        assert await peer.read_to_end() == []
        peer.writer.close()
        await eventually(lambda: bool(room.ended))
        assert (socket.close_code, socket.is_closed_by_us, socket.is_open) == (4401, True, False)


async def say_nothing(_: Peer) -> None:
    pass


async def talk_on(peer: Peer) -> None:
    """More than once in each tenth of the time that there is."""
    for _ in range(100):
        peer.send(frame(TEXT, b"and another thing"), frame(PING))
        await asyncio.sleep(SHORT / 20)


@pytest.mark.parametrize("answer", [say_nothing, talk_on])
async def test_we_close_and_the_peer_does_not(answer: Callable[[Peer], Awaitable[None]]) -> None:
    async with echoing(BRIEF) as room, room.peer() as peer:
        socket = await the_socket(room)
        socket.close(1000)
        began = time.monotonic()
        going_on = asyncio.ensure_future(answer(peer))
        await eventually(lambda: bool(room.ended), LONG_ENOUGH)
        assert time.monotonic() - began >= 0.9 * SHORT, "it had its time"
        going_on.cancel()
        assert (socket.close_code, socket.is_closed_by_us) == (1000, True)


async def test_who_floods_a_closing_socket_is_heard_no_longer() -> None:
    """Its farewell is waited for, but not at any price: reading all those frames holds everybody up."""
    limits = replace(BRIEF, frames=Rate(0.001, 3), close_seconds=60.0)
    async with echoing(limits) as room, room.peer() as peer:
        socket = await the_socket(room)
        socket.close(4401)
        peer.send(frame(PING) * 5)
        assert [each.code for each in await peer.read_to_end()] == [4401]


async def test_the_peer_closes_and_does_not_hang_up() -> None:
    async with echoing(BRIEF) as room, room.peer() as peer:
        peer.send(close_frame())
        assert (await peer.read_to_end())[0].code == 1000
        await eventually(lambda: bool(room.ended), LONG_ENOUGH)


async def test_both_close_at_the_same_time() -> None:
    async with echoing(BRIEF) as room, room.peer() as peer:
        socket = await the_socket(room)
        peer.send(close_frame(3000))
        socket.close(4000)
        assert [each.code for each in await peer.read_to_end()] == [4000]
        assert socket.close_code == 4000


@pytest.mark.parametrize("way", ["eof", "reset"])
async def test_the_peer_vanishes_without_a_word(way: str) -> None:
    async with echoing(BRIEF) as room, room.peer() as peer:
        peer.send(frame(TEXT, b"not the whole", fin=False))
        socket = await the_socket(room)
        if way == "eof":
            peer.writer.write_eof()
            assert await peer.read_if_any() is None
        else:
            peer.writer.transport.abort()
        await eventually(lambda: bool(room.ended))
        assert (socket.close_code, socket.is_closed_by_us) == (LOST, False)
        socket.send(Encoded("to nobody"))
        socket.ping()


async def test_a_socket_may_be_closed_before_it_has_begun() -> None:
    """As by a revocation between the ticket and the 101."""

    class Hasty(Room):
        async def open(self, request: Request) -> Response:
            response = await super().open(request)
            response.upgrade.socket.close(4401, "revoked")  # type: ignore[union-attr]
            return response

    async with echoing(BRIEF, room_type=Hasty) as room, room.peer() as peer:
        peer.send(frame(TEXT, b"hello"), close_frame(4401))
        assert await peer.read_to_end() == [Frame(CLOSE, (4401).to_bytes(2) + b"revoked")]


async def test_a_process_that_leaves_says_so_to_everybody() -> None:
    async with asyncio.timeout(LONG_ENOUGH), echoing(BRIEF) as room, room.peer() as polite, room.peer():
        await eventually(lambda: len(room.sockets) == 2)
        leaving = asyncio.create_task(room.server.drain(LONG_ENOUGH))
        last = await polite.read()
        polite.send(close_frame(last.code))
        assert (last.code, last.reason) == (GOING_AWAY, "leaving")
        assert await polite.read_if_any() is None
        await leaving
    assert [socket.close_code for socket in room.ended] == [GOING_AWAY] * 2


async def test_what_came_with_the_handshake_is_heard() -> None:
    async with echoing(BRIEF) as room, room.stranger() as peer:
        peer.send(handshake_head(), frame(TEXT, b"impatient"))
        assert (await peer.read_head()).startswith(b"HTTP/1.1 101 ")
        assert await peer.read() == Frame(TEXT, b"impatient")
