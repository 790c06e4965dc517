import asyncio
import io
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any

import pytest
from prometheus_client import REGISTRY

from shared.context import Principal, Trace
from shared.errors import NotFound
from shared.http.messages import Handler, Headers, Request, Response
from shared.middleware import access_log as module
from shared.middleware.access_log import UPSTREAM_SECONDS, access_log
from shared.middleware.errors import errors
from shared.observability.logs import Lines

Read = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Read:
    output = io.StringIO()
    lines = Lines(output)
    monkeypatch.setattr(module, "lines", lines)

    def read() -> list[dict[str, Any]]:
        lines.flush()
        return [json.loads(line) for line in output.getvalue().splitlines()]

    return read


def request(**values: Any) -> Request:
    made = Request("GET", "/products/1?token=secret", Headers([("Authorization", "Bearer secret")]), **values)
    made.id, made.trace, made.route = "the-id", Trace("t" * 32, "s" * 16), "/products"
    made.client_address = made.peer
    return made


def answering(response: Response) -> Handler:
    async def handler(_: Request) -> Response:
        return response

    return handler


class Chunks:
    """A body of unknown length."""

    length = None

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = pieces

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    async def read(self, limit: int) -> bytes:
        return b"".join(self._pieces)


async def test_a_line_says_what_happened_and_no_secret(log: Read) -> None:
    asked = request(peer="203.0.113.9")
    asked.principal = Principal(user_id="u-1")
    asked.notes[UPSTREAM_SECONDS] = 0.0125
    await access_log("gateway")(answering(Response(200, body=b"hello")))(asked)
    (line,) = log()
    assert line.pop("time").endswith("Z")
    assert line.pop("duration_ms") >= 0
    assert line == {
        "level": "info",
        "process": "gateway",
        "request_id": "the-id",
        "trace_id": "t" * 32,
        "span_id": "s" * 16,
        "method": "GET",
        "path": "/products/1",
        "route": "/products",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 5,
        "upstream_ms": 12.5,
        "user_id": "u-1",
        "peer": "203.0.113.9",
        "client_address": "203.0.113.9",
    }


@pytest.mark.parametrize("path", ['/"},{"a":"b', "/\\", "/\x7f\x80\xff", '/x","level":"error'])
async def test_a_client_cannot_write_our_log(log: Read, path: str) -> None:
    asked = Request(path[1:] or "GET", path, Headers([]))
    asked.route = path
    asked.principal = Principal(user_id=path)
    await access_log("gateway")(answering(Response(200)))(asked)
    (line,) = log()
    assert (line["path"], line["route"], line["user_id"], line["level"]) == (path, path, path, "info")


async def test_nobody_and_no_upstream_are_null(log: Read) -> None:
    await access_log("product")(answering(Response(500)))(Request("GET", "/", Headers([])))
    (line,) = log()
    assert (line["user_id"], line["upstream_ms"], line["level"], line["route"]) == (
        None,
        None,
        "error",
        "(none)",
    )


async def test_a_streamed_body_is_counted_and_logged_at_its_end(log: Read) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one"
        yield b"three"

    response = await access_log("gateway")(answering(Response(200, body=pieces())))(request())
    assert not isinstance(response.body, bytes)
    assert log() == []
    assert [piece async for piece in response.body] == [b"one", b"three"]
    await response.body.aclose()
    (line,) = log()
    assert (line["status"], line["bytes_out"]) == (200, 8)


async def test_a_client_that_leaves_a_streamed_body_is_499_and_the_source_is_closed(log: Read) -> None:
    closed = False

    async def pieces() -> AsyncGenerator[bytes, None]:
        nonlocal closed
        try:
            yield b"one"
            yield b"two"
        finally:
            closed = True

    response = await access_log("gateway")(answering(Response(200, body=pieces())))(request())
    assert not isinstance(response.body, bytes)
    await anext(aiter(response.body))
    await response.body.aclose()
    assert closed
    (line,) = log()
    assert (line["status"], line["bytes_out"]) == (499, 3)


async def test_a_body_that_nobody_began_is_closed_too(log: Read) -> None:
    class Body:
        closed = False

        def __aiter__(self) -> AsyncIterator[bytes]:
            return aiter(Chunks())

        async def aclose(self) -> None:
            self.closed = True

    body = Body()
    response = await access_log("gateway")(answering(Response(200, body=body)))(request())
    assert not isinstance(response.body, bytes)
    await response.body.aclose()
    assert body.closed
    asked = Request("HEAD", "/", Headers([]))
    response = await access_log("product")(answering(Response(200, body=Body())))(asked)
    assert not isinstance(response.body, bytes)
    await response.body.aclose()
    assert [line["status"] for line in log()] == [499, 200]


async def test_a_body_that_breaks_is_an_error(log: Read) -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"one"
        raise OSError("upstream gone")

    response = await access_log("gateway")(answering(Response(200, body=pieces())))(request())
    assert not isinstance(response.body, bytes)
    with pytest.raises(OSError, match="upstream gone"):
        async for _ in response.body:
            pass
    await response.body.aclose()
    (line,) = log()
    assert (line["status"], line["level"]) == (200, "error")


async def test_a_cancelled_request_is_499(log: Read) -> None:
    started = asyncio.Event()

    async def handler(_: Request) -> Response:
        started.set()
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    task = asyncio.ensure_future(access_log("gateway")(handler)(request()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [line["status"] for line in log()] == [499]


async def test_bytes_in_are_announced_or_counted(log: Read) -> None:
    async def reader(inner: Request) -> Response:
        assert [piece async for piece in inner.body] == [b"abc", b"de"]
        return Response(200)

    async def reader_of_all(inner: Request) -> Response:
        assert await inner.body.read(100) == b"abcde"
        return Response(200)

    await access_log("gateway")(reader)(request(body=Chunks(b"abc", b"de")))
    await access_log("gateway")(reader_of_all)(request(body=Chunks(b"abc", b"de")))
    assert [line["bytes_in"] for line in log()] == [5, 5]


async def test_the_answer_to_head_has_no_body(log: Read) -> None:
    asked = Request("HEAD", "/", Headers([]))
    await access_log("gateway")(answering(Response(200, body=b"what GET would say")))(asked)
    assert [line["bytes_out"] for line in log()] == [0]


async def test_methods_that_clients_invent_share_one_metric(log: Read) -> None:
    def count(method: str) -> float:
        labels = {"route": "/invented", "method": method, "status_class": "2xx"}
        return REGISTRY.get_sample_value("http_requests_total", labels) or 0.0

    before = count("OTHER")
    for method in ("BREW", "PROPFIND", "get"):
        asked = Request(method, "/", Headers([]))
        asked.route = "/invented"
        await access_log("gateway")(answering(Response(200)))(asked)
    assert count("OTHER") - before == 3
    assert count("BREW") == 0
    assert [line["method"] for line in log()] == ["BREW", "PROPFIND", "get"]


async def test_what_is_in_flight_goes_down_again(log: Read) -> None:
    before = REGISTRY.get_sample_value("http_requests_in_flight")

    async def handler(_: Request) -> Response:
        assert REGISTRY.get_sample_value("http_requests_in_flight") == (before or 0) + 1
        raise NotFound("no")

    await access_log("gateway")(errors()(handler))(request())
    assert REGISTRY.get_sample_value("http_requests_in_flight") == before
    assert [line["status"] for line in log()] == [404]
