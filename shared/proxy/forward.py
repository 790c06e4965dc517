"""Passes a request on to an upstream and its answer back, both as they arrive.

Nothing is collected: bodies flow piece by piece in both directions, and whoever reads slowly slows the
sender down. A client that leaves cancels the handler's task, and with it the upstream's request. What the
upstream says is passed on as it is, its errors too; only what it fails to say becomes a 502 or 504 of ours.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from time import monotonic, perf_counter, time

from shared import context
from shared.auth.identity import IdentitySigner
from shared.errors import ApplicationError, DeadlineExceeded, Unavailable
from shared.http.client import (
    Client,
    ClientResponse,
    ConnectionLost,
    MalformedResponse,
    OnInterim,
    ResponseTimeout,
)
from shared.http.client import ResponseBody as UpstreamBody
from shared.http.messages import Body, Fields, Request, Response, WholeBody
from shared.http.pool import ClientError, ConnectFailed, OutOfDescriptors, PoolExhausted
from shared.http.problems import HTTPError
from shared.http.timeouts import Timeouts
from shared.middleware.access_log import UPSTREAM_SECONDS
from shared.middleware.request_id import TRUSTED_PEER
from shared.observability import metrics
from shared.proxy.headers import RequestHeaders, returned, returned_interim
from shared.proxy.routes import GatewayRoute
from shared.proxy.upstreams import Target, Upstream

BUSY_RETRY_SECONDS = 1.0  # connections come free all the time

_FAILURES = (
    ConnectFailed,
    OutOfDescriptors,
    PoolExhausted,
    ConnectionLost,
    MalformedResponse,
    ResponseTimeout,
)


class Forward:
    """The handler of one route. `signer`, where the upstream has a key, vouches for who is asking."""

    def __init__(
        self, route: GatewayRoute, upstream: Upstream, client: Client, signer: IdentitySigner | None = None
    ) -> None:
        self._route = route
        self._upstream = upstream
        self._client = client
        self._signer = signer
        self._headers = RequestHeaders(drops_authorization=route.auth != "none")
        metrics.start_at_zero(
            metrics.UPSTREAM_FAILURES, *((upstream.name, _reason(kind)) for kind in _FAILURES)
        )
        timeouts = route.timeouts
        self._seconds = timeouts.head if timeouts.total is None else min(timeouts.head, timeouts.total)

    async def __call__(self, request: Request) -> Response:
        """Raises HTTPError 502 or 504, Unavailable, DeadlineExceeded, or what reading the body raises."""
        target = self._route.target(request.target)
        timeouts, seconds = self._time_left()
        fields = self._headers.forwarded(request, int(seconds * 1000), trusted=TRUSTED_PEER in request.notes)
        if self._signer is not None:
            fields += self._signer.sign(
                request.id, request.method, target, request.principal, int(time() * 1000)
            )
        started = perf_counter()
        try:
            answer, place = await self._ask(request, target, fields, timeouts)
        except ClientError as failed:
            raise _as_answer(failed) from failed
        finally:
            request.notes[UPSTREAM_SECONDS] = perf_counter() - started
        return _response(answer, place, self._upstream.name)

    def _time_left(self) -> tuple[Timeouts, float]:
        """The route's bounds, or less if the caller gave less; and the seconds that the upstream is told."""
        deadline = context.deadline.get()
        if deadline is None:
            return self._route.timeouts, self._seconds
        left = deadline - monotonic()
        if left <= 0:
            raise DeadlineExceeded("The time that the request allows is over.")
        timeouts = self._route.timeouts
        total = left if timeouts.total is None else min(left, timeouts.total)
        return replace(timeouts, total=total), min(left, self._seconds)

    async def _ask(
        self, request: Request, target: str, fields: Fields, timeouts: Timeouts
    ) -> tuple[ClientResponse, Target]:
        """The answer's head, from the first target that can be reached. Raises ClientError."""
        unreachable: ConnectFailed | None = None
        tried: list[Target] = []
        while (place := self._upstream.choose(monotonic(), tried)) is not None:
            try:
                return await self._exchange(place, request, target, fields, timeouts), place
            except ConnectFailed as failed:  # nothing was sent: another target may have it
                place.failed(monotonic())
                tried.append(place)
                unreachable = failed
        raise unreachable or ConnectFailed()

    async def _exchange(
        self, place: Target, request: Request, target: str, fields: Fields, timeouts: Timeouts
    ) -> ClientResponse:
        headers, body = request.headers, _content(request.body)
        place.in_flight += 1
        try:
            answer = await self._client.request(
                place.origin,
                request.method,
                target,
                fields,
                body,
                host=headers.get("host") or "",
                timeouts=timeouts,
                on_interim=_relay_to(request),
                expects_continue=request.expects_continue,
            )
        except BaseException as failed:
            place.in_flight -= 1
            if isinstance(failed, ClientError):
                _count_failure(self._upstream.name, failed)
            raise
        place.answered()
        return answer


def _content(body: Body) -> Body | bytes:
    """What is known already goes out in one piece with the head."""
    if body.length == 0:
        return b""
    return body.content if isinstance(body, WholeBody) else body


def _relay_to(request: Request) -> OnInterim:
    send_interim = request.send_interim

    async def relay(status: int, fields: Fields) -> None:
        await send_interim(status, returned_interim(fields))

    return relay


def _response(answer: ClientResponse, place: Target, upstream: str) -> Response:
    fields = returned(answer.headers)
    whole = answer.body.whole()
    if whole is not None:
        place.in_flight -= 1
        return Response(answer.status, fields, whole, answer.reason)
    return Response(answer.status, fields, _Relayed(answer.body, place, upstream), answer.reason)


class _Relayed:
    """An answer's body on its way through."""

    __slots__ = ("_body", "_place", "_upstream")

    def __init__(self, body: UpstreamBody, place: Target, upstream: str) -> None:
        self._body = body
        self._place: Target | None = place
        self._upstream = upstream

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self._body.__anext__()
        except ClientError as failed:
            _count_failure(self._upstream, failed)
            raise

    async def aclose(self) -> None:
        """Give the connection up unless the body has ended. The server calls this in any case."""
        if self._place is not None:
            self._place.in_flight -= 1
            self._place = None
        await self._body.aclose()


def _count_failure(upstream: str, failure: ClientError) -> None:
    metrics.UPSTREAM_FAILURES.labels(upstream, _reason(type(failure))).inc()


def _reason(kind: type[ClientError]) -> str:
    return kind.__name__


def _as_answer(failure: ClientError) -> ApplicationError:
    if isinstance(failure, PoolExhausted | OutOfDescriptors):
        return Unavailable(failure.detail, retry_after=BUSY_RETRY_SECONDS)
    too_slow = isinstance(failure, ResponseTimeout) or isinstance(failure.__cause__, TimeoutError)
    return HTTPError(504 if too_slow else 502, failure.detail)
