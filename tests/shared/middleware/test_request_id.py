import time

import pytest

from shared import context
from shared.http.messages import Fields, Headers, Middleware, Request, Response
from shared.middleware.client_address import TrustedProxies
from shared.middleware.request_id import TRUSTED_PEER, request_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def pass_through(
    fields: Fields, middleware: Middleware | None = None, peer: str = "203.0.113.9"
) -> Request:
    request = Request("GET", "/", Headers(fields), peer=peer)

    async def handler(inner: Request) -> Response:
        assert context.request_id.get() == inner.id
        assert context.trace.get() is inner.trace
        return Response(204)

    response = await (middleware or request_id())(handler)(request)
    assert response.headers == [("X-Request-ID", request.id)]
    return request


@pytest.mark.parametrize("good", ["a", "018f-1_2.3", "x" * 128])
async def test_a_good_id_is_kept(good: str) -> None:
    assert (await pass_through([("X-Request-ID", good)])).id == good


@pytest.mark.parametrize("bad", ["", "x" * 129, "a b", 'a"b', "a\tb", "é", "a,b"])
async def test_a_bad_id_is_replaced(bad: str) -> None:
    request = await pass_through([("X-Request-ID", bad)])
    assert request.id != bad
    assert len(request.id) == 32


async def test_a_repeated_id_is_replaced() -> None:
    request = await pass_through([("X-Request-ID", "a"), ("x-request-id", "b")])
    assert request.id not in ("a", "b", "a, b")


async def test_every_request_has_an_id_of_its_own() -> None:
    assert (await pass_through([])).id != (await pass_through([])).id


async def test_the_trace_goes_on() -> None:
    request = await pass_through([("traceparent", TRACEPARENT)])
    assert request.trace is not None
    assert request.trace.trace_id == "0af7651916cd43dd8448eb211c80319c"
    assert request.trace.parent_id == "b7ad6b7169203331"
    assert request.trace.span_id != "b7ad6b7169203331"


async def test_a_broken_trace_is_begun_anew() -> None:
    request = await pass_through([("traceparent", "00-0-0-01")])
    assert request.trace is not None
    assert request.trace.parent_id == ""


async def test_a_stranger_is_not_believed() -> None:
    fields = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Proto", "https")]
    request = await pass_through(fields, request_id(TrustedProxies(["10.0.0.0/8"])))
    assert (request.client_address, request.scheme) == ("203.0.113.9", "http")
    assert TRUSTED_PEER not in request.notes


async def test_a_trusted_proxy_is_believed() -> None:
    fields = [("X-Forwarded-For", "6.6.6.6, 198.51.100.1"), ("X-Forwarded-Proto", "https")]
    request = await pass_through(fields, request_id(TrustedProxies(["10.0.0.0/8"])), peer="10.0.0.1")
    assert (request.client_address, request.scheme) == ("198.51.100.1", "https")
    assert TRUSTED_PEER in request.notes


async def test_a_trusted_proxy_may_not_invent_schemes() -> None:
    fields = [("X-Forwarded-Proto", "javascript")]
    request = await pass_through(fields, request_id(TrustedProxies(["10.0.0.1"])), peer="10.0.0.1")
    assert request.scheme == "http"


async def test_a_deadline_becomes_a_moment() -> None:
    before = time.monotonic()
    await pass_through([("X-Request-Deadline", "2500")])
    deadline = context.deadline.get()
    assert deadline is not None
    assert before + 2.5 <= deadline <= time.monotonic() + 2.5


@pytest.mark.parametrize("bad", ["", "-1", "1.5", "soon", "1" * 10])
async def test_a_bad_deadline_is_none(bad: str) -> None:
    await pass_through([("X-Request-Deadline", bad)])
    assert context.deadline.get() is None


async def test_nothing_of_the_last_request_on_a_connection_remains() -> None:
    context.principal.set(context.Principal(user_id="somebody"))
    context.deadline.set(1.0)
    await pass_through([])
    assert context.principal.get().is_anonymous
    assert context.deadline.get() is None
