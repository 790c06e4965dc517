"""One JSON line and one set of metrics for every request, written when its response is sent or given up.

The line holds no query, header or body, so no token or password can be in it. It is put together by hand:
`logging` and `json` cost more than the rest of the request's own work. Text that a client chose is escaped.
"""

import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Set
from json.encoder import encode_basestring_ascii as quote
from typing import NamedTuple

from shared.context import Trace
from shared.http.messages import Body, Handler, Middleware, Pieces, Request, Response
from shared.observability import metrics
from shared.observability.logs import lines, timestamp

UPSTREAM_SECONDS = "upstream_seconds"  # note: how long we waited for the upstream's response head
CLIENT_GONE = 499  # nginx's status for a client that left before its answer was complete

_SERVER_ERRORS = 500  # and above (RFC 9110 section 15.6)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_OTHER = "OTHER"  # a client can invent methods without end; the number of metrics must stay bounded
_NO_ROUTE = "(none)"
_NO_TRACE = Trace("", "")


def access_log(process: str, quiet: Set[str] = frozenset()) -> Middleware:
    """`process` is the name that the lines carry. Routes in `quiet`, which are asked for every few seconds by
    whoever watches over the process, are counted but have no line.
    """

    log = _AccessLog(process, quiet)
    metrics.IN_FLIGHT.set_function(lambda: log.open)

    def wrap(handler: Handler) -> Handler:
        async def observed(request: Request) -> Response:
            exchange = _Exchange(log, request)
            try:
                response = await handler(request)
            except CancelledError:
                exchange.end(CLIENT_GONE)
                raise
            except BaseException:
                exchange.end(500)
                raise
            body = response.body
            if not isinstance(body, bytes):
                response.body = _Watched(body, exchange, response.status)
                return response
            exchange.bytes_out = 0 if request.method == "HEAD" else len(body)
            exchange.end(response.status)
            return response

        return observed

    return wrap


class _Kept(NamedTuple):
    """What is the same for all requests of one route, method and class of status."""

    route: str  # quoted
    durations: metrics.Durations


class _AccessLog:
    def __init__(self, process: str, quiet: Set[str]) -> None:
        self._process = quote(process)
        self._quiet = quiet
        self._kept: dict[tuple[str, str, int], _Kept] = {}
        self.open = 0  # exchanges; counted by hand, because a gauge costs as much as the rest of one

    def write(self, exchange: "_Exchange", level: str, status: int) -> None:
        request = exchange.request
        seconds = time.perf_counter() - exchange.started
        kept = self._keep(request, status)
        kept.durations.add(seconds)
        if request.route in self._quiet:
            return
        trace = request.trace or _NO_TRACE
        waited = request.notes.get(UPSTREAM_SECONDS)
        user_id = request.principal.user_id
        lines.write(
            f'{{"time":"{timestamp(time.time())}","level":"{level}","process":{self._process},'
            f'"request_id":"{request.id}","trace_id":"{trace.trace_id}","span_id":"{trace.span_id}",'
            f'"method":{quote(request.method)},"path":{quote(request.path)},"route":{kept.route},'
            f'"status":{status},"bytes_in":{exchange.bytes_in},"bytes_out":{exchange.bytes_out},'
            f'"duration_ms":{seconds * 1000:.3f},'
            f'"upstream_ms":{"null" if waited is None else f"{waited * 1000:.3f}"},'
            f'"user_id":{quote(user_id) if user_id else "null"},'
            f'"peer":"{request.peer}","client_address":"{request.client_address}"}}'
        )

    def _keep(self, request: Request, status: int) -> _Kept:
        method = request.method if request.method in _METHODS else _OTHER
        key = (request.route, method, status // 100)
        kept = self._kept.get(key)
        if kept is None:
            route = request.route or _NO_ROUTE
            durations = metrics.ANSWERED.durations(route, method, f"{status // 100}xx")
            kept = self._kept[key] = _Kept(quote(route), durations)
        return kept


class _Exchange:
    """One request from its head to the last byte of its response."""

    __slots__ = ("_log", "bytes_in", "bytes_out", "request", "started")

    def __init__(self, log: _AccessLog, request: Request) -> None:
        self._log = log
        self.request = request
        self.started = time.perf_counter()
        self.bytes_out = 0
        announced = request.body.length
        self.bytes_in = announced or 0
        if announced is None:
            request.body = _Counted(request.body, self)
        log.open += 1

    def end(self, status: int, *, broken: bool = False) -> None:
        """`broken`: the response stopped in its middle through no fault of the client."""
        self._log.open -= 1
        level = "error" if broken or status >= _SERVER_ERRORS else "info"
        self._log.write(self, level, status)


class _Counted:
    """A request body of unknown length, counted as it is read."""

    length: int | None = None

    def __init__(self, body: Body, exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            self._exchange.bytes_in += len(piece)
            yield piece

    async def read(self, limit: int) -> bytes:
        content = await self._body.read(limit)
        self._exchange.bytes_in += len(content)
        return content


class _Watched:
    """A streamed response body; its end, however it comes, ends the exchange."""

    __slots__ = ("_body", "_exchange", "_open", "_pieces", "_status")

    def __init__(self, body: Pieces, exchange: _Exchange, status: int) -> None:
        self._body = body
        self._pieces = aiter(body)
        self._exchange = exchange
        self._status = status
        self._open = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._pieces.__anext__()
        except StopAsyncIteration:
            self._end(self._status)
            raise
        except CancelledError:
            self._end(CLIENT_GONE)
            raise
        except BaseException:
            self._end(self._status, broken=True)
            raise
        self._exchange.bytes_out += len(piece)
        return piece

    async def aclose(self) -> None:
        """The server is done with the body: before its end only if the client has left, or asked for none."""
        self._end(self._status if self._exchange.request.method == "HEAD" else CLIENT_GONE)
        await self._body.aclose()

    def _end(self, status: int, *, broken: bool = False) -> None:
        if self._open:
            self._open = False
            self._exchange.end(status, broken=broken)
