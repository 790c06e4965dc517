"""A connection that stops speaking HTTP: RFC 9110 section 7.8, as the server does it."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from shared.http.connection import ServerLimits
from shared.http.messages import Request, Response
from shared.http.server import Server, serve
from shared.http.stream import ConnectionGone, Stream
from tests.shared.http.raw import connected_to, eventually

ASKING = b"GET /shout HTTP/1.1\r\nHost: a\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n"
PLAIN = b"GET /plain HTTP/1.1\r\nHost: a\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # close with a reset: socket(7), SO_LINGER
HEAD = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\nConnection: Upgrade\r\n\r\n"


class Shouting:
    """A protocol: what comes goes back in capitals, until a full stop."""

    def __init__(self) -> None:
        self.served: list[str] = []  # what was called, in order

    async def serve(self, stream: Stream) -> None:
        self.served.append("serve")
        while b"." not in stream.buffer:
            stream.write(stream.buffer.upper())
            stream.buffer = b""
            if not await stream.receive():
                return
        self.served.append("end")

    def leave(self) -> None:
        self.served.append("leave")


Respond = Callable[[Request], Response]


@asynccontextmanager
async def switching(protocol: Shouting, **settings: object) -> AsyncIterator[Server]:
    """A server that shouts on demand."""

    async def handler(request: Request) -> Response:
        if request.headers.get("upgrade") != "shout":
            return Response(200, [], b"plain")
        return Response(101, [("Upgrade", "shout"), ("Connection", "Upgrade")], upgrade=protocol)

    async with serve(handler, "127.0.0.1", 0, **settings) as server:  # type: ignore[arg-type]
        yield server


async def test_the_101_is_the_last_of_http_and_has_nothing_that_was_not_asked_for() -> None:
    async with switching(Shouting()) as server, connected_to(server) as client:
        client.send(ASKING)
        assert await client.read_head() == HEAD
        client.send(b"get / http\r\n\r\n")
        assert await client.read_exactly(14) == b"GET / HTTP\r\n\r\n"


async def test_what_follows_the_head_at_once_belongs_to_the_new_protocol() -> None:
    async with switching(Shouting()) as server, connected_to(server) as client:
        assert await client.exchange(ASKING + b"hello.") == HEAD, "the full stop ends it"
        async with connected_to(server) as other:
            other.send(ASKING + b"hello")
            assert await other.read_exactly(len(HEAD) + 5) == HEAD + b"HELLO"


async def test_requests_may_come_before_it_and_are_answered_before_it() -> None:
    async with switching(Shouting()) as server, connected_to(server) as client:
        client.send(PLAIN + ASKING + b"x")
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")
        assert await client.read_exactly(5) == b"plain"
        assert await client.read_head() == HEAD
        assert await client.read_exactly(1) == b"X"


async def test_it_no_longer_counts_as_one_of_its_clients_http_connections() -> None:
    limits = ServerLimits(connections_per_client=1)
    async with switching(Shouting(), limits=limits) as server:
        async with AsyncExitStack() as open_ones:
            for _ in range(2):
                client = await open_ones.enter_async_context(connected_to(server))
                client.send(ASKING)
                assert await client.read_head() == HEAD
            third = await open_ones.enter_async_context(connected_to(server))
            third.send(PLAIN)
            assert (await third.read_head()).startswith(b"HTTP/1.1 200 ")
            fourth = await open_ones.enter_async_context(connected_to(server))
            assert (await fourth.read_head()).startswith(b"HTTP/1.1 503 "), "one more that speaks HTTP"
        await eventually(lambda: not server._connections)
        assert not server._per_client, "each was counted down once"


async def test_it_still_counts_as_a_connection() -> None:
    one = ServerLimits(connections=1)
    async with switching(Shouting(), limits=one) as server, connected_to(server) as first:
        first.send(ASKING)
        assert await first.read_head() == HEAD
        async with connected_to(server) as second:
            assert (await second.read_head()).startswith(b"HTTP/1.1 503 ")


async def test_it_has_no_idle_time_of_http() -> None:
    limits = ServerLimits(idle_seconds=0.05, head_seconds=0.05)
    async with switching(Shouting(), limits=limits) as server, connected_to(server) as client:
        async with connected_to(server) as idle:
            client.send(ASKING + b"a")
            assert await client.read_exactly(len(HEAD) + 1) == HEAD + b"A"
            assert await idle.read_to_end() == b"", "one that speaks HTTP is closed meanwhile"
        client.send(b"b")
        assert await client.read_exactly(1) == b"B"


async def test_a_client_that_has_left_is_the_protocols_own_business() -> None:
    """A proxy cancels what its client waits for no longer; what has switched gets to know it by itself."""

    class Attentive(Shouting):
        async def serve(self, stream: Stream) -> None:
            try:
                await super().serve(stream)
            except BaseException as end:
                self.served.append(type(end).__name__)
                raise

    protocol = Attentive()
    async with switching(protocol, cancel_on_disconnect=True) as server, connected_to(server) as client:
        client.send(ASKING)
        await client.read_head()
        client.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.writer.transport.abort()
        await eventually(lambda: not server._connections)
    assert protocol.served == ["serve", "ConnectionGone"], "and no cancellation"


async def test_a_server_that_leaves_tells_the_protocol_and_waits_for_it() -> None:
    protocol = Shouting()
    async with switching(protocol) as server, connected_to(server) as client:
        client.send(ASKING)
        await client.read_head()
        leaving = asyncio.create_task(server.drain(5.0))
        await eventually(lambda: protocol.served == ["serve", "leave"])
        client.send(b"last words")
        assert await client.read_exactly(10) == b"LAST WORDS"
        client.send(b".")
        await leaving
    assert protocol.served == ["serve", "leave", "end"]


async def test_one_that_does_not_end_in_time_is_cut_off() -> None:
    protocol = Shouting()
    async with switching(protocol) as server, connected_to(server) as client:
        client.send(ASKING)
        await client.read_head()
        await server.drain(0.05)
        assert await client.read_to_end() == b""
        assert not server._connections


async def test_a_server_that_leaves_while_it_switches_says_so_before_the_protocol_begins() -> None:
    protocol, asked, go_on = Shouting(), asyncio.Event(), asyncio.Event()

    async def handler(_: Request) -> Response:
        asked.set()
        await go_on.wait()
        return Response(101, [("Upgrade", "shout"), ("Connection", "Upgrade")], upgrade=protocol)

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(ASKING)
        await asked.wait()
        leaving = asyncio.create_task(server.drain(5.0))
        await asyncio.sleep(0)
        go_on.set()
        assert await client.exchange(b".") == HEAD
        await leaving
    assert protocol.served == ["leave", "serve", "end"]


@pytest.mark.parametrize("failure", [ConnectionGone, RuntimeError])
async def test_a_protocol_that_fails_ends_its_connection(
    failure: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(Shouting):
        async def serve(self, stream: Stream) -> None:
            raise failure

    async with switching(Failing()) as server, connected_to(server) as client:
        client.send(ASKING)
        assert (await client.read_to_end()).startswith(HEAD[:12])
        await eventually(lambda: not server._connections)
    assert [record.message for record in caplog.records] == ["task failed"] * (failure is RuntimeError)
