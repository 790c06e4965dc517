"""Asks a service's HTTP handlers as a client would, over requests and responses without sockets."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from shared.context import Principal
from shared.http.chain import chain
from shared.http.messages import Headers, Request, Response
from shared.http.routing import Route, Router
from shared.middleware.errors import errors

ADMIN = Principal(user_id="018cc251-f400-7000-8000-0000000000ad", roles=frozenset({"admin", "customer"}))
CUSTOMER = Principal(user_id="018cc251-f400-7000-8000-0000000000c1", roles=frozenset({"customer"}))
OTHER_CUSTOMER = Principal(user_id="018cc251-f400-7000-8000-0000000000c2", roles=frozenset({"customer"}))


class Content:
    """A request's body that has arrived already."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.length: int | None = len(content)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content

    async def read(self, limit: int) -> bytes:
        return self.content


class Asking:
    """A client of `routes`."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._handler = chain(Router(routes), errors())

    async def ask(
        self, method: str, target: str, document: object = None, *, by: Principal = ADMIN, **headers: str
    ) -> Response:
        """The answer to a request of `by`; a `document` of bytes is sent as it is."""
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        body = Content(b"" if document is None else content)
        return await self._handler(Request(method, target, Headers(fields), body, principal=by))


def read(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def header(response: Response, name: str) -> str | None:
    return Headers(response.headers).get(name)


def bad_fields(response: Response) -> list[str]:
    assert response.status == 422
    assert header(response, "content-type") == "application/problem+json"
    return [each["field"] for each in read(response)["errors"]]


def problem_code(response: Response) -> str:
    """What the problem's type ends with."""
    code: str = read(response)["type"].rpartition(":")[2]
    return code
