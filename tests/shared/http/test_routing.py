"""The table of methods and path patterns."""

import pytest

from shared.errors import Malformed, NotFound
from shared.http.messages import Handler, Headers, Request, Response
from shared.http.problems import HTTPError
from shared.http.routing import Route, Router


def answering(word: str) -> Handler:
    async def handler(request: Request) -> Response:
        return Response(200, [], f"{word} {request.parameters}".encode())

    return handler


ROUTER = Router(
    [
        Route("GET", "/orders/{order_id}", answering("read")),
        Route("DELETE", "/orders/{order_id}", answering("delete")),
        Route("GET", "/orders/mine", answering("mine")),
        Route("POST", "/orders/{order_id}/cancel", answering("cancel")),
    ]
)


async def route(method: str, target: str) -> Response:
    return await ROUTER(Request(method, target, Headers([])))


@pytest.mark.parametrize(
    ("method", "target", "answer"),
    [
        ("GET", "/orders/7", b"read {'order_id': '7'}"),
        ("GET", "/orders/7?x=/a/b", b"read {'order_id': '7'}"),
        ("HEAD", "/orders/7", b"read {'order_id': '7'}"),
        ("GET", "/orders/mine", b"mine {}"),
        ("GET", "/orders/%41%2F%25", b"read {'order_id': 'A/%'}"),
        ("POST", "/orders/7/cancel", b"cancel {'order_id': '7'}"),
    ],
)
async def test_the_row_that_matches_answers(method: str, target: str, answer: bytes) -> None:
    assert (await route(method, target)).body == answer


@pytest.mark.parametrize(
    "target", ["/", "/orders", "/orders/7/", "/orders/7/cancel/x", "//orders/7", "/Orders/7"]
)
async def test_nothing_else_matches(target: str) -> None:
    with pytest.raises(NotFound):
        await route("GET", target)


async def test_a_known_path_tells_its_methods() -> None:
    with pytest.raises(HTTPError) as refused:
        await route("PUT", "/orders/7")
    assert refused.value.status == 405
    assert refused.value.headers == [("Allow", "DELETE, GET, HEAD, OPTIONS")]
    options = await route("OPTIONS", "/orders/7")
    assert (options.status, options.headers) == (204, [("Allow", "DELETE, GET, HEAD, OPTIONS")])


async def test_a_path_that_is_no_utf_8_is_malformed() -> None:
    with pytest.raises(Malformed):
        await route("GET", "/orders/%ff")
