"""Small bodies from strangers: the whole of one before anything is asked of an upstream.

Bodies stream through the gateway, and while one does it holds a connection to the upstream. A client without
any rights that sends its body very slowly could so hold all of them. Where a route says `buffer_body`, such a
client waits alone.
"""

from shared.http.messages import Handler, Headers, Middleware, Request, Response, WholeBody


def buffer_body(limit: int) -> Middleware:
    """`limit` is in bytes. Raises PayloadTooLarge past it, HTTPError 400 or 408 as reading the body does."""

    def wrap(handler: Handler) -> Handler:
        async def buffered(request: Request) -> Response:
            if request.body.length != 0:
                request.body = WholeBody(await request.body.read(limit))
                _forget_expectation(request)
            return await handler(request)

        return buffered

    return wrap


def _forget_expectation(request: Request) -> None:
    """Reading has answered a wait for 100 (Continue) already; the upstream is not to answer it again."""
    if "expect" in request.headers:
        request.headers = Headers([field for field in request.headers.fields if field[0].lower() != "expect"])
        request.expects_continue = False
