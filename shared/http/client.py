"""The HTTP/1.1 client: sends a request through a pool and hands the answer over as it arrives.

A body that streams is sent by a task of its own while the answer is awaited: a server may answer early, and
both directions may flow at once. Each wait has its own bound; none of them counts time that somebody else
spent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from shared.http.body import LAST_CHUNK, StreamBody, chunk
from shared.http.head import (
    END_OF_HEAD,
    FIRST_FINAL_STATUS,
    BadMessage,
    ResponseHead,
    format_head,
    parse_response_head,
    refuse_ambiguity,
)
from shared.http.messages import Body, Fields, Headers
from shared.http.pool import ClientError, Pool, PoolLimits
from shared.http.stream import ConnectionGone, DeadlineReached, Stream
from shared.http.timeouts import USUAL_TIMEOUTS, Timeouts
from shared.tasks import cancel, spawn

OnInterim = Callable[[int, Fields], Awaitable[None]]

RESPONSE_HEAD_BYTES = 65_536  # large Set-Cookie and policy headers fit
INTERIM_RESPONSES = 100  # before a final one; a server that sends more is broken
EXPECT_SECONDS = 1.0  # then a body is sent without the 100 it asked for (RFC 9110 section 10.1.1)

_CONTINUE = 100
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})  # RFC 9110 section 9.2.2
_BODY_EXPECTED = frozenset({"POST", "PUT", "PATCH"})


class ConnectionLost(ClientError):
    """The server closed the connection before its answer was complete. It may have acted on the request."""

    detail = "The server closed the connection before its answer was complete."


class MalformedResponse(ClientError):
    """The answer breaks the rules of HTTP; nothing of it can be trusted."""

    detail = "The server's answer is malformed."


class ResponseTimeout(ClientError):
    """The server took too long. It may have acted on the request."""

    detail = "The server took too long to answer."


@dataclass(slots=True)
class _Outgoing:
    """A request on its way. `fields` has neither Host nor framing."""

    method: str
    target: str
    fields: Fields
    body: "Body | bytes"
    host: str
    timeouts: Timeouts
    ends: float | None  # time.monotonic() at which the whole exchange must be over
    on_interim: OnInterim | None
    expects_continue: bool

    @property
    def may_be_repeated(self) -> bool:
        return self.body == b"" and self.method in _IDEMPOTENT

    def seconds(self, allowed: float) -> float:
        """`allowed`, or less when the exchange must be over sooner."""
        return allowed if self.ends is None else max(0.0, min(allowed, self.ends - monotonic()))


class ResponseBody(StreamBody):
    """A response's body. Its connection goes back to the pool at its end, or with `aclose`.

    Raises MalformedResponse, ConnectionLost, ResponseTimeout.
    """

    def __init__(self, exchange: "_Exchange", framing: int) -> None:
        super().__init__(exchange.stream, framing, exchange)
        self._exchange = exchange
        if framing == 0:
            exchange.end(complete=True)

    def whole(self) -> bytes | None:
        """All of the body, if all of it has arrived already; otherwise None, and nothing is taken."""
        if self.length is None or len(self._stream.buffer) < self.length - self.received:
            return None
        content = self.take()
        self._exchange.end(complete=True)
        return content

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            self._exchange.end(complete=self.finished)
            raise
        except BaseException as failure:
            self._exchange.end(complete=False)
            if (translated := _translated(failure)) is not None:
                raise translated from failure
            raise

    async def aclose(self) -> None:
        """Give the connection up, if the body has not been read to its end."""
        self._exchange.end(complete=self.finished)


@dataclass(slots=True)
class ClientResponse:
    """The answer: its head, and a body to be read or closed."""

    status: int
    reason: str
    headers: Headers
    body: ResponseBody


class Client:
    """Sends requests; keeps one pool for each origin (`http://host:port`)."""

    def __init__(self, limits: PoolLimits | None = None) -> None:
        self._limits = limits or PoolLimits()
        self._pools: dict[str, Pool] = {}

    async def request(
        self,
        origin: str,
        method: str,
        target: str,
        fields: Fields,
        body: "Body | bytes" = b"",
        *,
        host: str = "",
        timeouts: Timeouts = USUAL_TIMEOUTS,
        on_interim: OnInterim | None = None,
        expects_continue: bool = False,
    ) -> ClientResponse:
        """Send a request and wait for the head of its final answer.

        `fields` has neither Host (`host`, or else the origin's) nor framing (from `body`). `on_interim` gets
        interim answers. With `expects_continue` (the caller sends the Expect field) the body waits for 100.

        A request on a kept connection that died before any byte came back is sent once more if it is
        idempotent and has no body. Raises ClientError, or what reading `body` raises.
        """
        pool = self._pools.get(origin) or self._pools.setdefault(origin, Pool(origin, self._limits))
        ends = None if timeouts.total is None else monotonic() + timeouts.total
        outgoing = _Outgoing(
            method,
            target,
            fields,
            body,
            host or pool.authority,
            timeouts,
            ends,
            on_interim,
            expects_continue,
        )
        stream, is_kept = pool.take_idle(), True
        if stream is None:
            stream, is_kept = await pool.acquire(outgoing.seconds(timeouts.connect))
        exchange = _Exchange(pool, stream, outgoing)
        try:
            return await exchange.run()
        except ConnectionLost:
            if not (is_kept and exchange.got_nothing and outgoing.may_be_repeated):
                raise
        pool.forget_idle()
        stream, _ = await pool.acquire(outgoing.seconds(timeouts.connect))
        return await _Exchange(pool, stream, outgoing).run()

    async def close(self) -> None:
        """Close all connections that are not in use."""
        for pool in self._pools.values():
            pool.close()


class _Exchange:
    """One request and its answer on one connection."""

    def __init__(self, pool: Pool, stream: Stream, outgoing: _Outgoing) -> None:
        self.stream = stream
        self.outgoing = outgoing
        self.got_nothing = True
        self._pool = pool
        self._sender: asyncio.Task[None] | None = None
        self._source_failure: Exception | None = None
        self._invited: asyncio.Event | None = None
        self._keep_alive = False
        self._ended = False

    def left(self, received: int, waited: float) -> float:
        """How patient we are with the body (shared.http.body.Patience): so long for each piece."""
        return self.outgoing.seconds(self.outgoing.timeouts.idle)

    async def run(self) -> ClientResponse:
        """Send the request; return when the final answer's head has come."""
        try:
            self._send()
            head = await self._read_head()
            if head.status < FIRST_FINAL_STATUS:
                head = await self._after_interim(head)
        except BaseException as failure:
            blame = await self._end_failed(failure)
            if blame is failure:
                raise
            raise blame from failure
        self._keep_alive = head.keep_alive
        if self._invited is not None and not self._invited.is_set() and self._sender is not None:
            self._sender.cancel()  # a final answer instead of the 100: the body is not wanted
        return ClientResponse(head.status, head.reason, head.headers, ResponseBody(self, head.framing))

    def end(self, *, complete: bool) -> None:
        """Give the connection back: for reuse, if the answer was read and the request sent `complete`ly."""
        if self._ended:
            return
        self._ended = True
        sent = self._sender is None or (self._sender.done() and not self._sender.cancelled())
        if self._sender is not None and not sent:
            self._sender.cancel()
        self._pool.release(self.stream, reusable=complete and sent and self._keep_alive)

    # Sending

    def _send(self) -> None:
        outgoing, body = self.outgoing, self.outgoing.body
        fields = [("Host", outgoing.host), *outgoing.fields]
        length = len(body) if isinstance(body, bytes) else body.length
        if length is None:
            fields.append(("Transfer-Encoding", "chunked"))
        elif body != b"" or outgoing.method in _BODY_EXPECTED:
            fields.append(("Content-Length", str(length)))
        head = format_head(f"{outgoing.method} {outgoing.target} HTTP/1.1", fields)
        if isinstance(body, bytes):
            self.stream.write(head + body)
            self.stream.set_deadline(outgoing.seconds(outgoing.timeouts.head))
        else:
            self.stream.write(head)
            self._invited = asyncio.Event() if outgoing.expects_continue else None
            self._sender = spawn(self._send_body(body), "request body")

    async def _send_body(self, body: Body) -> None:
        stream, outgoing = self.stream, self.outgoing
        if self._invited is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(EXPECT_SECONDS):
                    await self._invited.wait()
            self._invited.set()
        try:
            async for piece in body:
                stream.write(chunk(piece) if body.length is None else piece)
                if stream.is_congested:
                    stream.set_deadline(outgoing.seconds(outgoing.timeouts.idle))
                    await stream.drain()
                    stream.set_deadline(None)
        except (ConnectionGone, DeadlineReached):
            return  # whoever reads the answer notices, and an early answer may have come
        except Exception as failure:
            self._source_failure = failure
            stream.abort()  # the request will never be complete
            return
        if body.length is None:
            stream.write(LAST_CHUNK)
        stream.set_deadline(outgoing.seconds(outgoing.timeouts.head))

    # Receiving

    async def _after_interim(self, head: ResponseHead) -> ResponseHead:
        """The final head that follows the interim `head`, and perhaps others."""
        for _ in range(INTERIM_RESPONSES):
            if head.status == _CONTINUE and self._invited is not None:
                self._invited.set()
            if self.outgoing.on_interim is not None:
                await self.outgoing.on_interim(head.status, head.headers.fields)
            head = await self._read_head()
            if head.status >= FIRST_FINAL_STATUS:
                return head
        raise BadMessage("There are too many interim responses.")

    async def _read_head(self) -> ResponseHead:
        stream = self.stream
        while (end := stream.buffer.find(END_OF_HEAD)) < 0:
            if stream.buffer:
                _refuse_endless(stream.buffer)
            if not await stream.receive():
                self.got_nothing = self.got_nothing and not stream.buffer
                raise ConnectionGone
        self.got_nothing = False
        end += len(END_OF_HEAD)
        if end > RESPONSE_HEAD_BYTES:
            raise BadMessage("The head is too long.")
        head, stream.buffer = stream.buffer[:end], stream.buffer[end:]
        return parse_response_head(head, self.outgoing.method)

    async def _end_failed(self, failure: BaseException) -> BaseException:
        """Give up, and say what is to blame: the source of the request's body, or the server."""
        self.end(complete=False)
        if self._sender is not None:
            await cancel(self._sender)
        return self._source_failure or _translated(failure) or failure


def _refuse_endless(partial: bytes) -> None:
    """Raise BadMessage if the head that begins with `partial` might never end."""
    if len(partial) > RESPONSE_HEAD_BYTES:
        raise BadMessage("The head is too long.")
    refuse_ambiguity(partial.removesuffix(b"\r"))


def _translated(failure: BaseException) -> ClientError | None:
    if isinstance(failure, BadMessage):
        return MalformedResponse()
    if isinstance(failure, ConnectionGone):
        return ConnectionLost()
    return ResponseTimeout() if isinstance(failure, DeadlineReached) else None
