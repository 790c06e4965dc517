"""The stream's own promises, apart from any protocol that is spoken over it."""

import asyncio
import socket
from contextlib import suppress

from shared.http.stream import READ_AHEAD_BYTES, Stream
from tests.shared.http.raw import eventually


async def test_what_comes_together_with_the_end_is_not_lost() -> None:
    stream = Stream()
    arrival = stream.receive()
    stream.data_received(b"last words")
    stream.eof_received()
    assert await arrival
    assert stream.buffer == b"last words"
    assert not await stream.receive()


async def test_the_peer_has_to_wait_when_whoever_read_has_given_up() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        transport, stream = await asyncio.get_running_loop().create_connection(Stream, sock=ours)
        assert isinstance(transport, asyncio.Transport)
        arrival = stream.receive()
        arrival.cancel()
        theirs.setblocking(False)
        with suppress(BlockingIOError):
            theirs.send(b"x" * (2 * READ_AHEAD_BYTES))

        def keep_sending() -> bool:
            with suppress(BlockingIOError):
                theirs.send(b"x" * READ_AHEAD_BYTES)
            return not transport.is_reading()

        await eventually(keep_sending)
        transport.abort()
