"""The server on real sockets, spoken to byte by byte."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import suppress

import pytest

from shared.config import ConfigError
from shared.errors import NotFound
from shared.http.body import MinimumRate
from shared.http.connection import ServerLimits
from shared.http.messages import Fields, Request, Response
from shared.http.server import serve
from shared.runtime import Readiness
from tests.shared.http.raw import connected_to, eventually

LAST = b"Connection: close\r\n\r\n"
QUICK = ServerLimits(
    head_bytes=1000,
    idle_seconds=0.3,
    head_seconds=0.3,
    body_rate=MinimumRate(0.3, 1e9),
    send_seconds=0.3,
    linger_seconds=0.2,
    unread_body_bytes=100,
)


async def echo(request: Request) -> Response:
    """Tells what arrived."""
    body = await request.body.read(10_000_000)
    return Response(200, [("X-Target", request.target)], request.method.encode() + b" " + body)


async def ignore_body(_: Request) -> Response:
    return Response(200, [], b"done")


def bodies_of(raw: bytes) -> list[bytes]:
    """The bodies of a row of responses with Content-Length."""
    bodies = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head)
        length = int(found[1]) if found else 0
        bodies.append(raw[:length])
        raw = raw[length:]
    return bodies


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        answers = await client.exchange(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
            b"POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
            b"POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
            b"GET /4 HTTP/1.1\r\nHost: a\r\n" + LAST
        )
    assert bodies_of(answers) == [b"GET ", b"POST abc", b"POST de", b"GET "]
    assert re.findall(rb"X-Target: (\S+)", answers) == [b"/1", b"/2", b"/3", b"/4"]


async def test_head_gets_the_length_and_no_body() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(b"HEAD / HTTP/1.1\r\nHost: a\r\n" + LAST)
    assert b"Content-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("status", [204, 304])
async def test_some_statuses_have_no_body(status: int) -> None:
    async def handler(_: Request) -> Response:
        return Response(status, [], b"")

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + LAST)
    assert answer.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in answer
    assert b"Transfer-Encoding" not in answer


async def test_a_stream_of_unknown_length_is_chunked_or_ends_with_the_connection() -> None:
    async def handler(_: Request) -> Response:
        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"one"
            yield b"two"

        return Response(200, [], pieces())

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connected_to(server) as client:
            new = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + LAST)
        async with connected_to(server) as client:
            old = await client.exchange(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
    assert new.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert old.endswith(b"\r\n\r\nonetwo")
    assert b"Connection: close" in old


async def test_a_client_that_expects_100_gets_it_when_the_body_is_wanted() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hi")
        assert b" 200 OK" in await client.read_head()
        assert await client.read_exactly(7) == b"POST hi"


async def test_an_unwanted_body_is_not_invited_and_the_connection_closes() -> None:
    async with serve(ignore_body, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
    assert b"100 Continue" not in answer
    assert b"Connection: close" in answer


async def test_a_small_unread_body_is_skipped() -> None:
    async with serve(ignore_body, "127.0.0.1", 0) as server, connected_to(server) as client:
        answers = await client.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n" + LAST
        )
    assert bodies_of(answers) == [b"done", b"done"]


async def test_a_large_unread_body_ends_the_connection_after_the_answer() -> None:
    async with serve(ignore_body, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        answer = await client.exchange(
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999
        )
    assert bodies_of(answer) == [b"done"]
    assert b"Connection: close" in answer


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: a\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 2000, 431),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    ],
)
async def test_bad_messages_get_a_problem_and_a_closed_connection(request_bytes: bytes, status: int) -> None:
    async with serve(echo, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        answer = await client.exchange(request_bytes)
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer
    assert b"Connection: close" in answer


async def test_leading_empty_lines_are_skipped() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        assert b" 200 " in await client.exchange(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n" + LAST)


@pytest.mark.parametrize(
    "beginning",
    [b"GET / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"],
)
async def test_slow_heads_and_slow_bodies_are_cut_off(beginning: bytes) -> None:
    async with serve(echo, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        answer = await client.exchange(beginning)
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_an_idle_connection_is_closed_silently() -> None:
    async with serve(echo, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        assert await client.read_to_end() == b""


async def test_errors_are_problems_and_tell_nothing() -> None:
    async def handler(request: Request) -> Response:
        if request.target == "/missing":
            raise NotFound("There is no such thing.")
        raise RuntimeError("the secret")

    async with serve(handler, "127.0.0.1", 0) as server:
        async with connected_to(server) as client:
            missing = await client.exchange(b"GET /missing HTTP/1.1\r\nHost: a\r\n" + LAST)
        async with connected_to(server) as client:
            broken = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + LAST)
    assert b" 404 " in missing
    assert b" 500 " in broken
    assert b"secret" not in broken


async def test_a_failing_stream_cuts_the_connection() -> None:
    async def handler(_: Request) -> Response:
        async def pieces() -> AsyncGenerator[bytes, None]:
            yield b"one"
            raise RuntimeError

        return Response(200, [], pieces())

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await client.read_to_end()).endswith(b"\r\n\r\n3\r\none\r\n")  # and no last chunk


async def test_a_header_with_a_line_break_never_goes_out() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [("Location", "/x\r\nSet-Cookie: stolen")], b"")

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + LAST)
    assert b" 500 " in answer
    assert b"stolen" not in answer


async def test_back_pressure_reaches_the_client() -> None:
    """A handler that does not read stops the client after a bounded number of bytes."""
    go_on = asyncio.Event()

    async def handler(request: Request) -> Response:
        await go_on.wait()
        return await echo(request)

    sent = 0
    size = 50_000_000
    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):  # the client stands still long before
                while sent < size:
                    client.send(b"x" * 100_000)
                    sent += 100_000
                    await client.writer.drain()
        go_on.set()
    assert sent < size / 2


async def test_a_client_that_does_not_read_is_given_up() -> None:
    ended = asyncio.Event()

    async def handler(_: Request) -> Response:
        async def pieces() -> AsyncGenerator[bytes, None]:
            try:
                while True:
                    yield b"x" * 1_000_000
            finally:
                ended.set()

        return Response(200, [], pieces())

    async with serve(handler, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        async with asyncio.timeout(5):
            await ended.wait()


@pytest.mark.parametrize("is_proxy", [True, False])
async def test_only_a_proxy_cancels_a_handler_whose_client_left(is_proxy: bool) -> None:
    started, cancelled, finish = asyncio.Event(), asyncio.Event(), asyncio.Event()
    finished = asyncio.Event()

    async def handler(_: Request) -> Response:
        started.set()
        try:
            await finish.wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        finished.set()
        return Response(200)

    async with serve(handler, "127.0.0.1", 0, cancel_on_disconnect=is_proxy) as server:
        async with connected_to(server) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            await started.wait()
        async with asyncio.timeout(5):
            if is_proxy:
                await cancelled.wait()
            else:
                finish.set()
                await finished.wait()
    assert cancelled.is_set() is is_proxy


async def test_interim_responses_go_out_before_the_final_one() -> None:
    async def handler(request: Request) -> Response:
        await request.send_interim(103, [("Link", "</style.css>")])
        return Response(200)

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\n" + LAST)
    assert answer.startswith(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_drain_finishes_what_is_in_flight_and_closes_what_is_idle() -> None:
    started, finish = asyncio.Event(), asyncio.Event()
    readiness = Readiness()

    async def handler(_: Request) -> Response:
        started.set()
        await finish.wait()
        return Response(200, [], b"finished")

    serving = serve(handler, "127.0.0.1", 0, readiness=readiness)
    server = await serving.__aenter__()
    async with connected_to(server) as idle, connected_to(server) as busy:
        busy.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await started.wait()
        leaving = asyncio.create_task(serving.__aexit__(None, None, None))
        assert await idle.read_to_end() == b""
        await eventually(lambda: readiness.draining)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        finish.set()
        answer = await busy.read_to_end()
        await leaving
    assert answer.endswith(b"finished")
    assert b"Connection: close" in answer


async def test_connections_are_limited() -> None:
    limits = ServerLimits(connections_per_client=1)
    async with serve(echo, "127.0.0.1", 0, limits=limits) as server, connected_to(server) as first:
        first.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await first.read_head()
        async with connected_to(server) as second:
            assert (await second.read_to_end()).startswith(b"HTTP/1.1 503 ")


async def test_a_taken_port_is_a_configuration_error() -> None:
    async with serve(echo, "127.0.0.1", 0) as server:
        with pytest.raises(ConfigError, match=str(server.port)):
            async with serve(echo, "127.0.0.1", server.port):
                pass


async def test_interim_responses_are_not_sent_to_http_1_0() -> None:
    async def handler(request: Request) -> Response:
        fields: Fields = []
        await request.send_interim(103, fields)
        return Response(200)

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        assert (await client.exchange(b"GET / HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


async def test_a_flood_of_empty_lines_is_refused_at_once() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"\r\n" * 500_000)
        assert (await client.read_head()).startswith(b"HTTP/1.1 400 ")


async def test_an_empty_line_between_pipelined_requests_is_skipped() -> None:
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        answers = await client.exchange(
            b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n" + LAST
        )
    assert re.findall(rb"X-Target: (\S+)", answers) == [b"/1", b"/2"]


@pytest.mark.parametrize(
    "flood",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 20_000,
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200_000,
    ],
    ids=["requests", "chunks"],
)
async def test_a_flood_on_one_connection_does_not_keep_the_others_waiting(flood: bytes) -> None:
    """The loop comes round often while the flood is worked off: a hundred times is no accident."""

    async def handler(request: Request) -> Response:
        async for _ in request.body:
            pass
        return Response(200)  # and never a wait of its own

    async with serve(handler, "127.0.0.1", 0) as server, connected_to(server) as client:
        reading = asyncio.create_task(client.reader.read())
        client.send(flood)
        rounds = 0
        async with asyncio.timeout(30):
            while rounds < 100:
                await asyncio.sleep(0)
                rounds += 1
        async with connected_to(server) as other:
            other.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await other.read_head()).startswith(b"HTTP/1.1 200 ")
        reading.cancel()


async def test_a_head_that_never_ends_is_cut_off_however_busy_the_client_is() -> None:
    async with serve(echo, "127.0.0.1", 0, limits=QUICK) as server, connected_to(server) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")

        async def dribble() -> None:
            while True:
                client.send(b"A: b\r\n")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        assert (await client.read_head()).startswith((b"HTTP/1.1 408 ", b"HTTP/1.1 431 "))
        dribbling.cancel()


async def test_what_is_refused_is_logged_without_what_it_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with serve(echo, "127.0.0.1", 0) as server, connected_to(server) as client:
        answer = await client.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization : Bearer SECRET\r\n\r\n")
    assert b"SECRET" not in answer
    (record,) = [record for record in caplog.records if record.message == "request refused"]
    assert (record.__dict__["peer"], record.__dict__["status"]) == ("127.0.0.1", 400)
    assert record.__dict__["request_id"].encode() in answer
    assert "SECRET" not in str(record.__dict__)
