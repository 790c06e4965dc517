"""The client and its pool against servers that play a script."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import pytest

from shared.http.client import (
    Client,
    ConnectionLost,
    MalformedResponse,
    ResponseTimeout,
)
from shared.http.messages import Fields
from shared.http.pool import ConnectFailed, OutOfDescriptors, PoolExhausted, PoolLimits
from shared.http.problems import HTTPError
from shared.http.timeouts import Timeouts
from tests.shared.http.raw import RawClient, eventually, scripted_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
QUICK = Timeouts(connect=1, head=0.2, idle=0.2)


class Source:
    """A request body of `pieces`, announced as `length`."""

    def __init__(self, pieces: list[bytes], length: int | None = None) -> None:
        self.pieces = pieces
        self.length = length

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def read(self, limit: int) -> bytes:
        return b"".join(self.pieces)[:limit]


class BrokenSource(Source):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b"some"
        raise HTTPError(408, "too slow")


async def answer_ok(connection: RawClient) -> None:
    while True:
        await connection.read_head()
        connection.send(OK)


async def test_connections_are_reused() -> None:
    connections = 0

    async def play(connection: RawClient) -> None:
        nonlocal connections
        connections += 1
        await answer_ok(connection)

    async with scripted_server(play) as origin:
        client = Client()
        for _ in range(5):
            response = await client.request(origin, "GET", "/", [])
            assert await response.body.read(10) == b"ok"
        await client.close()
    assert connections == 1


async def test_a_body_that_was_not_read_gives_the_connection_up() -> None:
    connections = 0

    async def play(connection: RawClient) -> None:
        nonlocal connections
        connections += 1
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot all")
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        for _ in range(2):
            response = await client.request(origin, "GET", "/", [])
            await response.body.aclose()
        await client.close()
    assert connections == 2


async def test_the_request_on_the_wire() -> None:
    seen: list[bytes] = []

    async def play(connection: RawClient) -> None:
        while True:
            seen.append(await connection.read_head())
            connection.send(OK)

    async with scripted_server(play) as origin:
        client = Client()
        await (await client.request(origin, "GET", "/a?b", [("X-One", "1")], host="h:1")).body.read(10)
        await (await client.request(origin, "POST", "/", [])).body.read(10)
        await client.close()
    assert seen[0] == b"GET /a?b HTTP/1.1\r\nHost: h:1\r\nX-One: 1\r\n\r\n"
    assert seen[1] == b"POST / HTTP/1.1\r\nHost: %b\r\nContent-Length: 0\r\n\r\n" % origin[7:].encode()


@pytest.mark.parametrize(
    ("length", "on_wire"), [(6, b"onetwo"), (None, b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")]
)
async def test_streamed_bodies(length: int | None, on_wire: bytes) -> None:
    seen = b""

    async def play(connection: RawClient) -> None:
        nonlocal seen
        await connection.read_head()
        seen = await connection.read_exactly(len(on_wire))
        connection.send(OK)

    async with scripted_server(play) as origin:
        client = Client()
        response = await client.request(origin, "POST", "/", [], Source([b"one", b"two"], length))
        assert await response.body.read(10) == b"ok"
        await client.close()
    assert seen == on_wire


async def test_a_dead_connection_is_replaced_once_where_that_is_safe() -> None:
    """The server closes each connection after one answer, without saying so, when the next request comes."""
    heads: list[bytes] = []

    async def play(connection: RawClient) -> None:
        heads.append(await connection.read_head())
        connection.send(OK)
        await connection.read_head()  # and no answer

    async with scripted_server(play) as origin:
        client = Client()
        for _ in range(2):
            response = await client.request(origin, "GET", "/", [])
            assert await response.body.read(10) == b"ok"
        with pytest.raises(ConnectionLost):
            await client.request(origin, "POST", "/", [], b"pay")
        await client.close()
    assert len(heads) == 2


async def test_an_answer_that_began_is_never_asked_for_again() -> None:
    connections = 0

    async def play(connection: RawClient) -> None:
        nonlocal connections
        connections += 1
        await connection.read_head()
        connection.send(OK)
        await connection.read_head()
        connection.send(b"HTTP/1.1 2")

    async with scripted_server(play) as origin:
        client = Client()
        await (await client.request(origin, "GET", "/", [])).body.read(10)
        with pytest.raises(ConnectionLost):
            await client.request(origin, "GET", "/", [])
        await client.close()
    assert connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"not http\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" * 101,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: " + b"y" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_malformed_answers(answer: bytes) -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(answer)
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        with pytest.raises(MalformedResponse):
            await client.request(origin, "GET", "/", [])
        await client.close()


async def test_malformed_chunks_and_short_bodies() -> None:
    answers = [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", MalformedResponse),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", ConnectionLost),
    ]
    for answer, error in answers:

        async def play(connection: RawClient, answer: bytes = answer) -> None:
            await connection.read_head()
            connection.send(answer)

        async with scripted_server(play) as origin:
            client = Client()
            response = await client.request(origin, "GET", "/", [])
            with pytest.raises(error):
                await response.body.read(100)
            await client.close()


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\na"]
)
async def test_slow_servers(answer: bytes) -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(answer)
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        with pytest.raises(ResponseTimeout):
            await (await client.request(origin, "GET", "/", [], timeouts=QUICK)).body.read(10)
        await client.close()


async def _whole_answer(client: Client, origin: str, timeouts: Timeouts) -> bytes:
    response = await client.request(origin, "GET", "/", [], timeouts=timeouts)
    return await response.body.read(10_000)


async def test_total_time_is_bounded_even_when_each_piece_is_quick() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.send(b"x")
            await asyncio.sleep(0.02)

    async with scripted_server(play) as origin:
        client = Client()
        with pytest.raises(ResponseTimeout):
            await (await client.request(origin, "GET", "/", [], timeouts=Timeouts(total=1.0))).body.read(
                10_000
            )
        await client.close()


async def test_refused_connections() -> None:
    async with scripted_server(answer_ok) as origin:
        pass
    with pytest.raises(ConnectFailed):
        await Client().request(origin, "GET", "/", [])


@contextmanager
def no_descriptors_left() -> Iterator[None]:
    """This very process may open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as lowest_free:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free.fileno(), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_the_server_is_not_blamed() -> None:
    async with scripted_server(answer_ok) as origin:
        client = Client(PoolLimits(connections=1))
        with no_descriptors_left(), pytest.raises(OutOfDescriptors):
            await client.request(origin, "GET", "/", [])
        response = await client.request(origin, "GET", "/", [])  # its place in the pool is free again
        assert await response.body.read(10) == b"ok"
        await client.close()


async def test_the_pool_is_bounded_and_so_is_its_queue() -> None:
    release = asyncio.Event()

    async def play(connection: RawClient) -> None:
        while True:
            await connection.read_head()
            await release.wait()
            connection.send(OK)

    async with scripted_server(play) as origin:
        client = Client(PoolLimits(connections=1, waiting=1, wait_seconds=5))

        async def ask() -> bytes:
            return await (await client.request(origin, "GET", "/", [])).body.read(10)

        first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
        await asyncio.sleep(0)  # both have taken their places
        with pytest.raises(PoolExhausted):
            await ask()
        release.set()
        assert [await first, await second] == [b"ok", b"ok"]
        await client.close()


async def test_waiting_for_a_connection_ends() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client(PoolLimits(connections=1, wait_seconds=0.1))
        held = asyncio.create_task(client.request(origin, "GET", "/", []))
        await asyncio.sleep(0)
        with pytest.raises(PoolExhausted):
            await client.request(origin, "GET", "/", [])
        held.cancel()
        await asyncio.gather(held, return_exceptions=True)
        await client.close()


async def test_interim_answers_are_handed_over_and_100_starts_the_body() -> None:
    interim: list[tuple[int, Fields]] = []

    async def on_interim(status: int, fields: Fields) -> None:
        interim.append((status, fields))

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n")
        assert await connection.read_exactly(3) == b"one"
        connection.send(OK)

    async with scripted_server(play) as origin:
        client = Client()
        fields = [("Expect", "100-continue")]
        response = await client.request(
            origin, "PUT", "/", fields, Source([b"one"], 3), on_interim=on_interim, expects_continue=True
        )
        assert await response.body.read(10) == b"ok"
        await client.close()
    assert interim == [(103, [("Link", "x")]), (100, [])]


async def test_a_final_answer_instead_of_100_means_no_body() -> None:
    rest = b"unread"

    async def play(connection: RawClient) -> None:
        nonlocal rest
        await connection.read_head()
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        rest = await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        fields = [("Expect", "100-continue")]
        source = Source([b"one"], 3)
        response = await client.request(origin, "PUT", "/", fields, source, expects_continue=True)
        assert response.status == 413
        await eventually(lambda: rest == b"")
        await client.close()


async def test_an_early_answer_arrives_while_the_body_is_still_being_sent() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        endless = Source([b"x" * 1_000_000] * 100, 100_000_000)
        response = await client.request(origin, "POST", "/", [], endless)
        assert response.status == 413
        await client.close()


async def test_what_breaks_the_source_of_a_body_is_told_apart_from_the_server() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        with pytest.raises(HTTPError) as broken:
            await client.request(origin, "POST", "/", [], BrokenSource([], 100))
        assert broken.value.status == 408
        await client.close()


async def test_bytes_after_the_answer_end_the_connection() -> None:
    """A server that says more than was asked must not have that taken for the next answer."""
    connections = 0

    async def play(connection: RawClient) -> None:
        nonlocal connections
        connections += 1
        await connection.read_head()
        connection.send(OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        await connection.read_to_end()

    async with scripted_server(play) as origin:
        client = Client()
        for _ in range(2):
            response = await client.request(origin, "GET", "/", [])
            assert await response.body.read(10) == b"ok"
        await client.close()
    assert connections == 2


async def test_idle_connections_are_closed() -> None:
    left = asyncio.Event()

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(OK)
        await connection.read_to_end()
        left.set()

    async with scripted_server(play) as origin:
        client = Client(PoolLimits(idle_seconds=0.1))
        await (await client.request(origin, "GET", "/", [])).body.read(10)
        async with asyncio.timeout(5):
            await left.wait()
        await client.close()
