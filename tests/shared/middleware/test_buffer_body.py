"""Small bodies are read to their end before anything behind is asked."""

from shared.http.chain import chain
from shared.http.messages import Request, Response
from shared.http.server import serve
from shared.middleware.buffer_body import buffer_body
from shared.middleware.errors import errors
from tests.shared.http.raw import connected_to

LIMIT = 10


async def test_the_handler_is_not_asked_before_the_body_is_there() -> None:
    asked: list[int | None] = []

    async def handler(request: Request) -> Response:
        asked.append(request.body.length)
        return Response(200, [], await request.body.read(LIMIT))

    async with (
        serve(chain(handler, buffer_body(LIMIT)), "127.0.0.1", 0) as server,
        connected_to(server) as slow,
        connected_to(server) as quick,
    ):
        slow.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        quick.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo")
        await quick.read_head()
        assert await quick.read_exactly(3) == b"two"
        assert asked == [3]
        slow.send(b"3\r\ntwo\r\n0\r\n\r\n")
        await slow.read_head()
        assert await slow.read_exactly(6) == b"onetwo"
        assert asked == [3, 6]


async def test_who_waits_for_100_gets_it_and_nobody_behind_is_told_to_send_another() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(200, [], await request.body.read(LIMIT))

    handling = chain(handler, buffer_body(LIMIT))
    async with serve(handling, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        assert await client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hi")
        assert b" 200 OK" in await client.read_head()
    assert "expect" not in seen[0].headers
    assert not seen[0].expects_continue
    assert ("Host", "a") in seen[0].headers.fields


async def test_too_long_a_body_never_arrives() -> None:
    async def handler(_: Request) -> Response:
        raise AssertionError("asked")

    handling = chain(handler, errors(), buffer_body(LIMIT))
    async with serve(handling, "127.0.0.1", 0) as server, connected_to(server) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n")
        assert b" 413 " in await client.read_head()
