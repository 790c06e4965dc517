"""Bodies that are longer than a route allows: 413, before the first byte where the length is announced."""

from collections.abc import AsyncIterator, Awaitable

from shared.http.messages import Body, Handler, Middleware, Request, Response
from shared.http.problems import PayloadTooLarge


def body_limit(limit: int) -> Middleware:
    """`limit` is in bytes; 0 allows any length. What is not announced (chunked) is counted as it passes."""

    def wrap(handler: Handler) -> Handler:
        def limited(request: Request) -> Awaitable[Response]:
            length = request.body.length
            if length is None:
                request.body = _Limited(request.body, limit)
            elif length > limit:
                raise PayloadTooLarge(limit)
            return handler(request)

        return limited if limit else handler

    return wrap


class _Limited:
    """A body of unknown length; raises PayloadTooLarge from the piece that passes the limit."""

    length: int | None = None

    def __init__(self, body: Body, limit: int) -> None:
        self._body = body
        self._limit = limit

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limit
        async for piece in self._body:
            left -= len(piece)
            if left < 0:
                raise PayloadTooLarge(self._limit)
            yield piece

    async def read(self, limit: int) -> bytes:
        return await self._body.read(min(limit, self._limit))
