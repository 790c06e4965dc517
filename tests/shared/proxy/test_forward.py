"""The proxy between real sockets: upstreams that play a script, clients that write bytes."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.auth.identity import IdentitySigner, IdentityVerifier
from shared.config import Secret
from shared.context import Principal
from shared.http.chain import chain
from shared.http.client import Client
from shared.http.head import parse_request_head
from shared.http.messages import Handler, Middleware, Request, Response
from shared.http.pool import PoolLimits
from shared.http.server import serve
from shared.http.timeouts import Timeouts
from shared.middleware.access_log import access_log
from shared.middleware.errors import errors
from shared.middleware.request_id import request_id
from shared.proxy.forward import Forward
from shared.proxy.routes import GatewayRoute
from shared.proxy.upstreams import Upstream
from tests.shared.http.raw import Play, RawClient, connected, eventually, scripted_server

GET = b"GET /a/b?c=d HTTP/1.1\r\nHost: shop.example\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
KEY = Secret("k1:" + "A" * 43)
QUICK = Timeouts(connect=0.3, head=0.3, idle=0.3)


class Proxy:
    """One route's proxy on a real port."""

    def __init__(self, port: int, upstream: Upstream) -> None:
        self.port = port
        self.upstream = upstream

    @property
    def in_flight(self) -> int:
        return sum(target.in_flight for target in self.upstream.targets)


@asynccontextmanager
async def proxy(
    *origins: str,
    route: GatewayRoute | None = None,
    signer: IdentitySigner | None = None,
    pool: PoolLimits | None = None,
    inside: tuple[Middleware, ...] = (),
) -> AsyncIterator[Proxy]:
    upstream = Upstream("any", origins)
    client = Client(pool)
    forward: Handler = Forward(route or GatewayRoute("/", "any", auth="none"), upstream, client, signer)
    handler = chain(forward, request_id(), access_log("gateway"), errors(), *inside)
    async with serve(handler, "127.0.0.1", 0, cancel_on_disconnect=True) as server:
        yield Proxy(server.port, upstream)
    await client.close()
    assert sum(target.in_flight for target in upstream.targets) == 0


@asynccontextmanager
async def through(play: Play, **options: Any) -> AsyncIterator[tuple[Proxy, RawClient]]:
    """A client at a proxy before a scripted upstream."""
    async with (
        scripted_server(play) as origin,
        proxy(origin, **options) as made,
        connected(made.port) as client,
    ):
        yield made, client


def answering(answer: bytes) -> Play:
    async def play(connection: RawClient) -> None:
        while True:
            await connection.read_head()
            connection.send(answer)

    return play


def refused_origin() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def problem_of(client: RawClient, request: bytes = GET) -> dict[str, Any]:
    client.send(request)
    head = (await client.read_head()).decode()
    fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.split("\r\n"))}
    assert fields["content-type"] == "application/problem+json"
    document: dict[str, Any] = json.loads(await client.read_exactly(int(fields["content-length"])))
    assert document["instance"] == f"urn:plainstack:request:{fields['x-request-id']}"
    assert document["status"] == int(head.split()[1])
    return document


# Heads


async def test_what_the_upstream_gets() -> None:
    heads: list[bytes] = []

    async def play(connection: RawClient) -> None:
        heads.append(await connection.read_head())
        connection.send(OK)

    async with through(play) as (_, client):
        client.send(
            b"BREW /a/b?c=%20d HTTP/1.1\r\nHost: shop.example\r\n"
            b"X-Authenticated-User-ID: admin\r\nA: b\r\n\r\n"
        )
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 OK\r\n")
    head = parse_request_head(heads[0])
    get = head.headers.get
    assert (head.method, head.target, get("host"), get("a")) == ("BREW", "/a/b?c=%20d", "shop.example", "b")
    assert (get("x-forwarded-for"), get("x-forwarded-proto")) == ("127.0.0.1", "http")
    assert (get("x-forwarded-host"), get("via")) == ("shop.example", "1.1 plainstack")
    assert get("x-request-deadline") == "30000"
    assert "x-authenticated-user-id" not in head.headers
    assert "content-length" not in head.headers


async def test_what_the_client_gets() -> None:
    answer = (
        b"HTTP/1.1 299 Odd But Mine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Connection: X-Hop\r\nX-Hop: 1\r\nX-Request-ID: theirs\r\nContent-Length: 2\r\nserver: me\r\n\r\nok"
    )
    async with through(answering(answer)) as (_, client):
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine\r\n\r\n")
        head = await client.read_head()
        assert await client.read_exactly(2) == b"ok"
    assert head.startswith(
        b"HTTP/1.1 299 Odd But Mine\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Content-Length: 2\r\nserver: me\r\nVia: 1.1 plainstack\r\nX-Request-ID: mine\r\n"
    )
    assert b"X-Hop" not in head


@pytest.mark.parametrize("status", [b"404 Not Found", b"500 Oops", b"503 Busy", b"418 I'm a teapot"])
async def test_the_upstreams_own_errors_pass_unchanged(status: bytes) -> None:
    answer = b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nsorry"
    async with through(answering(answer)) as (_, client):
        client.send(GET)
        assert (await client.read_head()).startswith(
            b"HTTP/1.1 " + status + b"\r\nContent-Type: text/plain\r\n"
        )
        assert await client.read_exactly(5) == b"sorry"


async def test_answers_without_a_body() -> None:
    async with through(answering(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n")) as (
        _,
        client,
    ):
        client.send(GET + GET)
        for _ in range(2):
            assert (await client.read_head()).startswith(b"HTTP/1.1 304 ")
    async with through(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")) as (_, client):
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"Content-Length: 99\r\n" in await client.read_head()
        client.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")


async def test_an_answer_in_chunks_and_one_until_close() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: v\r\n\r\n"
    )
    until_close = b"HTTP/1.1 200 OK\r\n\r\nabcde"

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(until_close)

    for played in (answering(chunked), play):
        async with through(played) as (_, client):
            client.send(GET)
            assert b"Transfer-Encoding: chunked\r\n" in await client.read_head()
            async with asyncio.timeout(5):
                assert (await client.reader.readuntil(b"0\r\n\r\n")).replace(b"\r\n", b"") in (
                    b"5abcde0",
                    b"3abc2de0",
                )


async def test_the_prefix_is_stripped_where_asked() -> None:
    heads: list[bytes] = []

    async def play(connection: RawClient) -> None:
        heads.append(await connection.read_head())
        connection.send(OK)

    async with through(play, route=GatewayRoute("/a", "any", auth="none", strip_prefix=True)) as (_, client):
        client.send(GET)
        await client.read_head()
    assert heads[0].startswith(b"GET /b?c=d HTTP/1.1\r\n")


async def test_an_upstream_with_a_key_is_told_who_asks() -> None:
    heads: list[bytes] = []

    async def play(connection: RawClient) -> None:
        heads.append(await connection.read_head())
        connection.send(OK)

    def as_alice(handler: Handler) -> Handler:
        async def identified(request: Request) -> Response:
            request.principal = Principal("alice", "s-1", "t-1", 99, frozenset({"admin"}), "203.0.113.9")
            return await handler(request)

        return identified

    signer = IdentitySigner("gateway", "product", KEY)
    async with through(play, signer=signer, inside=(as_alice,)) as (_, client):
        client.send(b"GET /x?y HTTP/1.1\r\nHost: a\r\nX-Authenticated-Roles: root\r\n\r\n")
        await client.read_head()
    head = parse_request_head(heads[0])
    signed_ms = int((head.headers.get("x-identity-signature") or "").split(":")[3])
    verifier = IdentityVerifier("product", {"gateway": KEY})
    principal = verifier.verify("GET", "/x?y", head.headers, signed_ms)
    assert principal.user_id == "alice"
    assert principal.roles == {"admin"}


# Bodies


async def test_a_request_body_arrives_as_it_was_framed() -> None:
    async def play(connection: RawClient) -> None:
        head = parse_request_head(await connection.read_head())
        if "content-length" in head.headers:
            body = await connection.read_exactly(head.framing)
        else:
            async with asyncio.timeout(5):
                body = await connection.reader.readuntil(b"0\r\n\r\n")
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        await play(connection)

    async with through(play) as (_, client):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
        await client.read_head()
        assert await client.read_exactly(5) == b"hello"
        client.send(
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        )
        await client.read_head()
        assert await client.read_exactly(15) == b"5\r\nhello\r\n0\r\n\r\n"
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        assert b"Content-Length: 0" in await client.read_head()


async def test_both_directions_stream_at_once() -> None:
    async def echo(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
        for _ in range(3):
            connection.send(await connection.read_exactly(2))
        await asyncio.Event().wait()

    async with through(echo) as (_, client):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        await client.read_head()
        for piece in (b"ab", b"cd", b"ef"):
            client.send(piece)
            assert await client.read_exactly(2) == piece


async def is_stuck(connection: RawClient) -> bool:
    """Whether the other side takes no more of what was sent."""
    try:
        async with asyncio.timeout(0.5):
            await connection.writer.drain()
    except TimeoutError:
        return True
    return False


async def test_a_slow_client_slows_the_upstream_down() -> None:
    """Nothing is collected: an upstream that wants to send 64 MB gets rid of what fits into buffers."""
    sent = 0
    stuck = asyncio.Event()
    piece = b"x" * 65_536

    async def play(connection: RawClient) -> None:
        nonlocal sent
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1024 * len(piece)))
        for _ in range(1024):
            connection.send(piece)
            if await is_stuck(connection):
                stuck.set()
                await connection.writer.drain()
            sent += len(piece)

    async with through(play) as (_, client):
        client.send(GET)
        await client.read_head()
        async with asyncio.timeout(10):
            await stuck.wait()
        assert sent < 32 * 1024 * 1024
        received = 0
        while received < 1024 * len(piece):
            async with asyncio.timeout(5):
                received += len(await client.reader.read(1 << 20))
        assert received == 1024 * len(piece)


async def test_a_slow_upstream_slows_the_client_down() -> None:
    release = asyncio.Event()
    total = 64 * 1024 * 1024

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        await release.wait()
        left = total
        while left:
            async with asyncio.timeout(5):
                left -= len(await connection.reader.read(1 << 20))
        connection.send(OK)
        await connection.read_head()

    async with through(play) as (_, client):
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % total)
        sent = 0
        stuck = False
        while not stuck and sent < total:
            client.send(b"x" * 65_536)
            sent += 65_536
            stuck = await is_stuck(client)
        assert stuck
        assert sent < total / 2
        release.set()
        client.send(b"x" * (total - sent))
        async with asyncio.timeout(20):
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


# Interim answers


async def test_interim_answers_pass() -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: close\r\n\r\n"
    async with through(answering(hints + b"HTTP/1.1 102 Processing\r\n\r\n" + OK)) as (_, client):
        client.send(GET)
        assert await client.read_head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        assert (await client.read_head()).startswith(b"HTTP/1.1 102 ")
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")


EXPECTING = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"


async def test_the_upstream_decides_on_an_expectation() -> None:
    async def play(connection: RawClient) -> None:
        head = await connection.read_head()
        assert b"Expect: 100-continue\r\n" in head
        connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await connection.read_exactly(5) == b"hello"
        connection.send(OK)

    async with through(play) as (_, client):
        client.send(EXPECTING)
        assert (await client.read_head()).startswith(b"HTTP/1.1 100 ")
        client.send(b"hello")
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")


async def test_an_upstream_may_refuse_before_the_body() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
        await connection.read_to_end()

    async with through(play) as (_, client):
        client.send(EXPECTING)
        head = await client.read_head()
        assert head.startswith(b"HTTP/1.1 417 ")
        assert b"Connection: close\r\n" in head  # the client never sent what it announced


# Failures


async def test_nobody_listens_there() -> None:
    async with proxy(refused_origin()) as made, connected(made.port) as client:
        assert (await problem_of(client))["status"] == 502


async def test_a_connection_that_does_not_come_about_in_time_is_a_504() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (first, second):  # nobody accepts them: the queue is full
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        origin = f"http://127.0.0.1:{full.getsockname()[1]}"
        route = GatewayRoute("/", "any", auth="none", timeouts=QUICK)
        async with proxy(origin, route=route) as made, connected(made.port) as client:
            assert (await problem_of(client))["status"] == 504


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nok",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
    ],
)
async def test_a_malformed_answer_is_a_502(answer: bytes) -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(answer)

    async with through(play) as (_, client):
        document = await problem_of(client)
        assert (document["status"], document["type"]) == (502, "urn:plainstack:problem:bad-gateway")
        assert (await problem_of(client))["status"] == 502  # our own connection is none the worse


async def test_too_slow_an_upstream_is_a_504() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        await connection.read_to_end()

    async with through(play, route=GatewayRoute("/", "any", auth="none", timeouts=QUICK)) as (_, client):
        document = await problem_of(client)
        assert (document["status"], document["type"]) == (504, "urn:plainstack:problem:gateway-timeout")


async def test_the_callers_deadline_shortens_the_wait() -> None:
    heads: list[bytes] = []

    async def play(connection: RawClient) -> None:
        heads.append(await connection.read_head())
        await connection.read_to_end()

    async with through(play) as (_, client):
        request = b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Deadline: 1000\r\n\r\n"
        async with asyncio.timeout(20):
            assert (await problem_of(client, request))["status"] == 504
        told = parse_request_head(heads[0]).headers.get("x-request-deadline")
        assert told is not None
        assert 0 < int(told) <= 1000
        assert (await problem_of(client, request.replace(b"1000", b"0")))["status"] == 504
    assert len(heads) == 1


async def test_a_busy_pool_is_a_503() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        await connection.read_to_end()

    limits = PoolLimits(connections=1, waiting=0)
    async with through(play, pool=limits) as (made, client), connected(made.port) as second:
        client.send(GET)
        await eventually(lambda: made.in_flight == 1)
        assert (await problem_of(second))["status"] == 503


async def test_an_answer_that_breaks_off_is_cut_off() -> None:
    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    async with through(play) as (_, client):
        client.send(GET)
        await client.read_head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
            await client.read_exactly(10)


async def test_a_body_that_the_client_breaks_is_its_own_fault() -> None:
    arrived: list[bytes] = []

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        arrived.append(await connection.read_to_end())

    async with through(play) as (_, client):
        request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n"
        assert (await problem_of(client, request))["status"] == 400
    await eventually(lambda: len(arrived) == 1)
    assert not arrived[0].endswith(b"0\r\n\r\n")  # the upstream knows that it was not all


async def test_a_client_that_leaves_cancels_the_upstream() -> None:
    left = asyncio.Event()

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        await connection.read_to_end()
        left.set()

    async with through(play) as (made, client):
        client.send(GET)
        await eventually(lambda: made.in_flight == 1)
        client.writer.transport.abort()
        async with asyncio.timeout(20):
            await left.wait()
        await eventually(lambda: made.in_flight == 0)


async def test_a_client_that_leaves_a_streamed_answer_cancels_the_upstream() -> None:
    left = asyncio.Event()

    async def play(connection: RawClient) -> None:
        await connection.read_head()
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await connection.read_to_end()
        left.set()

    async with through(play) as (made, client):
        client.send(GET)
        await client.read_head()
        await client.read_exactly(8)
        client.writer.transport.abort()
        async with asyncio.timeout(20):
            await left.wait()
        await eventually(lambda: made.in_flight == 0)


# Several targets


async def test_one_dead_target_of_two_is_not_noticed() -> None:
    async with (
        scripted_server(answering(OK)) as alive,
        proxy(refused_origin(), alive) as made,
        connected(made.port) as client,
    ):
        for _ in range(20):
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")
            await client.read_exactly(2)
        dead, good = made.upstream.targets
        assert dead.ejected_until > 0
        assert good.ejected_until == 0


async def test_all_targets_dead_is_a_502() -> None:
    async with proxy(refused_origin(), refused_origin()) as made, connected(made.port) as client:
        for _ in range(3):
            assert (await problem_of(client))["status"] == 502


async def test_targets_share_the_load() -> None:
    asked = [0, 0]

    def counting(index: int) -> Play:
        async def play(connection: RawClient) -> None:
            while True:
                await connection.read_head()
                asked[index] += 1
                connection.send(OK)

        return play

    async with (
        scripted_server(counting(0)) as first,
        scripted_server(counting(1)) as second,
        proxy(first, second) as made,
        connected(made.port) as client,
    ):
        for _ in range(10):
            client.send(GET)
            await client.read_head()
            await client.read_exactly(2)
    assert asked == [5, 5]
