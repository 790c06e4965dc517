"""One client's connection: read a request, have it answered, repeat.

One task serves one connection, so pipelined requests are answered in order by construction. The loop reads
as the protocol does: head, body, answer.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import cast

from shared.errors import ApplicationError
from shared.http.answer import Framing, answer_head, framing_of, interim_head
from shared.http.body import LAST_CHUNK, MinimumRate, StreamBody, chunk
from shared.http.head import (
    END_OF_HEAD,
    SWITCHING_PROTOCOLS,
    BadMessage,
    RequestHead,
    parse_request_head,
    refuse_ambiguity,
)
from shared.http.messages import Fields, Handler, NoBody, Pieces, Request, Response, Upgrade
from shared.http.problems import HTTPError, problem
from shared.http.stream import ConnectionGone, DeadlineReached, Stream
from shared.ids import new_request_id
from shared.observability import metrics

_log = logging.getLogger(__name__)

_NO_BODY = NoBody()
_EMPTY_LINES = re.compile(rb"(?:\r\n)*+")
EMPTY_LINES_BYTES = 8
REFUSALS = (400, 408, 417, 431, 501, 503, 505)  # the statuses that `refuse` is called with
_CONTINUE = 100
_OUR_FAULT = HTTPError(500, "Something went wrong on our side.")


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one client may cost us. Each limit closes the connection that breaks it."""

    head_bytes: int = 32_768  # request line and headers: a large token and many cookies fit
    idle_seconds: float = 75.0  # between requests; longer than clients keep idle connections
    head_seconds: float = 10.0  # from a head's first byte to its last
    body_rate: MinimumRate = field(default_factory=MinimumRate)  # slower bodies are an attack
    send_seconds: float = 60.0  # a client that takes none of our answer for so long is given up
    unread_body_bytes: int = 65_536  # read and dropped after the answer; with more left, closing is cheaper
    linger_seconds: float = 2.0  # how long a client may take to read our last words
    connections: int = 10_000  # in all: each needs a file descriptor and some 10 kB
    connections_per_client: int = 2_000  # that speak HTTP, of one address: it must not take them all


class RequestBody(StreamBody):
    """A request's body. What the client does wrong is raised as HTTPError: 400 or 408.

    A client may wait for an interim 100 before it sends: it gets one when somebody first waits for content,
    unless the final answer has begun by then.
    """

    def __init__(self, stream: Stream, head: RequestHead, rate: MinimumRate) -> None:
        super().__init__(stream, head.framing, rate, self._invite)
        self.was_invited = not head.expects_continue
        self.answer_has_begun = False
        self.is_broken = False

    async def __anext__(self) -> bytes:
        try:
            return await super().__anext__()
        except BadMessage as bad:
            raise self._broken(bad.status, bad.detail) from bad
        except DeadlineReached as late:
            raise self._broken(408, "The body comes too slowly.") from late
        except ConnectionGone as gone:
            raise self._broken(400, "The body is incomplete.") from gone

    def _invite(self) -> None:
        if not self.was_invited and not self.answer_has_begun:
            self.was_invited = True
            self._stream.write(interim_head(_CONTINUE, []))

    def _broken(self, status: int, detail: str) -> HTTPError:
        self.is_broken = True
        return HTTPError(status, detail)


class Connection:
    """Serves `stream` with `handler` until either side has had enough."""

    def __init__(
        self,
        stream: Stream,
        handler: Handler,
        limits: ServerLimits,
        on_upgrade: Callable[[], None],
        *,
        cancel_on_disconnect: bool,
    ) -> None:
        """`on_upgrade` is called when it is no HTTP connection any more."""
        self.stream = stream
        self._handler = handler
        self._limits = limits
        self._on_upgrade = on_upgrade
        self._cancel_on_disconnect = cancel_on_disconnect
        self._is_idle = True
        self._is_stopping = False
        self._upgrade: Upgrade | None = None
        self._body: RequestBody | None = None  # of the request that is being answered

    @property
    def is_upgraded(self) -> bool:
        """Whether it speaks another protocol by now."""
        return self._upgrade is not None

    def stop_when_idle(self) -> None:
        """Take no further request; what is being answered is finished."""
        self._is_stopping = True
        if self._upgrade is not None:
            self._upgrade.leave()
        elif self._is_idle:
            self.stream.close()

    async def serve(self) -> None:
        """Answer requests. Returns when the connection is closed."""
        stream = self.stream
        try:
            while await self._answer_next():
                pass
            if self._upgrade is not None:
                await self._upgrade.serve(stream)
        except BadMessage as bad:
            refuse(stream, bad.status, bad.detail)
            await stream.linger(self._limits.linger_seconds)
        except DeadlineReached:
            if stream.buffer:  # a head was begun and did not end in time
                refuse(stream, 408, "The head comes too slowly.")
                await stream.linger(self._limits.linger_seconds)
        except ConnectionGone:
            pass
        except BaseException:
            stream.abort()
            raise
        stream.close()

    async def _answer_next(self) -> bool:
        """One request and its answer. False when the connection ends here."""
        raw = await self._read_head()
        if raw is None:
            return False
        head = parse_request_head(raw)
        request = self._request(head)
        response = await self._respond(request)
        if response.upgrade is not None:
            self._switch(response, response.upgrade)
            return False
        keep_alive = head.keep_alive and not self._is_stopping
        body = self._body  # not the request's: middleware may have put one of its own around it
        if body is None:
            return await self._send(response, request, keep_alive)
        if isinstance(response.body, bytes):  # a streamed answer may still be reading the request
            keep_alive = keep_alive and self._may_follow(body)
        reusable = await self._send(response, request, keep_alive)
        if body.finished:
            return reusable
        if reusable and self._may_follow(body):
            return await _drop(body)
        await self.stream.linger(self._limits.linger_seconds)
        return False

    # Reading

    async def _read_head(self) -> bytes | None:
        """The next head's bytes; None when the client has closed, or we are to stop."""
        stream, limits = self.stream, self._limits
        self._is_idle = not stream.buffer
        if self._is_idle:
            stream.set_deadline(limits.idle_seconds)
            if self._is_stopping or not await stream.receive():
                return None
            self._is_idle = False
        else:
            await asyncio.sleep(
                0
            )  # a client that sends request after request must let others have their turn
        self._skip_empty_lines()
        end = stream.buffer.find(END_OF_HEAD)
        if end < 0:
            end = await self._wait_for_head()
            if end < 0:
                return None
        stream.set_deadline(None)
        end += len(END_OF_HEAD)
        if end > limits.head_bytes:
            raise BadMessage(f"The head is longer than {limits.head_bytes} bytes.", 431)
        head, stream.buffer = stream.buffer[:end], stream.buffer[end:]
        return head

    async def _wait_for_head(self) -> int:
        """Where the head ends, once all of it is there; -1 when the client closed before its first byte."""
        stream, limits = self.stream, self._limits
        stream.set_deadline(limits.head_seconds)
        while (end := stream.buffer.find(END_OF_HEAD)) < 0:
            if len(stream.buffer) > limits.head_bytes:
                raise BadMessage(f"The head is longer than {limits.head_bytes} bytes.", 431)
            refuse_ambiguity(stream.buffer.removesuffix(b"\r"))  # such a head might never end
            if not await stream.receive():
                if stream.buffer:
                    raise BadMessage("The head is incomplete.")
                return -1
            self._skip_empty_lines()
        return end

    def _skip_empty_lines(self) -> None:
        """Those that some clients send before a request (RFC 9112 section 2.2): a few, no flood."""
        found = _EMPTY_LINES.match(self.stream.buffer)
        end = found.end() if found else 0
        if end > EMPTY_LINES_BYTES:
            raise BadMessage("There are too many empty lines before the request.")
        if end:
            self.stream.buffer = self.stream.buffer[end:]

    def _request(self, head: RequestHead) -> Request:
        stream = self.stream
        request = Request(head.method, head.target, head.headers, _NO_BODY, stream.peer, head.version)
        if stream.is_encrypted:
            request.scheme = "https"
        body = None if head.framing == 0 else RequestBody(stream, head, self._limits.body_rate)
        if body is not None:
            request.body = body
            request.expects_continue = head.expects_continue
        if head.version == "1.1":
            request.send_interim = self._send_interim
        self._body = body
        return request

    async def _send_interim(self, status: int, fields: Fields) -> None:
        """Pass on somebody else's interim response; a 100 is the one that the client may wait for."""
        if self._body is not None and status == _CONTINUE:
            self._body.was_invited = True
        self.stream.write(interim_head(status, fields))

    def _may_follow(self, body: RequestBody) -> bool:
        """Whether another request can be read after what is left of this one's body."""
        if body.finished:
            return True
        if body.is_broken or body.length is None or not body.was_invited:
            return False
        return body.length - body.received <= self._limits.unread_body_bytes

    # Answering

    async def _respond(self, request: Request) -> Response:
        if self._cancel_on_disconnect:
            self.stream.watch(cast("asyncio.Task[None]", asyncio.current_task()).cancel)
        try:
            return await self._handler(request)
        except ApplicationError as error:
            return problem(error, request.id)
        except Exception:
            _log.exception("handler failed")
            return problem(_OUR_FAULT, request.id)

    def _switch(self, response: Response, upgrade: Upgrade) -> None:
        """The last words of HTTP. `serve` goes on with `upgrade` once the request has been let go of."""
        self._upgrade = upgrade  # which is served in any case: it has something to clean up
        self._on_upgrade()
        self.stream.unwatch()
        self.stream.write(interim_head(SWITCHING_PROTOCOLS, response.headers))
        if self._is_stopping:
            upgrade.leave()

    async def _send(self, response: Response, request: Request, keep_alive: bool) -> bool:
        """Send the answer. True when the connection can serve another request."""
        stream = self.stream
        framing = framing_of(response, request.method, request.version)
        try:
            head = answer_head(response, framing, request.version, keep_alive=keep_alive)
        except ValueError:
            _log.exception("response has a header field that cannot be sent")
            await _close_body(response)
            return await self._send(problem(_OUR_FAULT, request.id), request, keep_alive)
        body = response.body
        if self._body is not None:
            self._body.answer_has_begun = True
        if isinstance(body, bytes):
            stream.write(head + body if framing is Framing.LENGTH else head)
            if stream.is_congested:
                await self._drain()
        else:
            stream.write(head)
            async with aclosing(body):
                await self._send_pieces(body, response, framing)
        stream.unwatch()
        return keep_alive and framing is not Framing.UNTIL_CLOSE

    async def _send_pieces(self, pieces: Pieces, response: Response, framing: Framing) -> None:
        """A streamed body. When it fails or has another length than promised, the client sees a cut."""
        stream = self.stream
        if framing is Framing.NO_BODY:
            return
        sent = 0
        try:
            async for piece in pieces:
                stream.write(chunk(piece) if framing is Framing.CHUNKED else piece)
                sent += len(piece)
                await self._drain()
        except Exception as failure:
            _log.warning("response cut short", extra={"reason": type(failure).__name__})
            stream.abort()
            raise ConnectionGone from failure
        if framing is Framing.CHUNKED:
            stream.write(LAST_CHUNK)
        elif framing is Framing.LENGTH and str(sent) != _promised(response.headers):
            stream.abort()
            raise ConnectionGone

    async def _drain(self) -> None:
        stream = self.stream
        if stream.is_congested:
            stream.set_deadline(self._limits.send_seconds)
            try:
                await stream.drain()
            except DeadlineReached as too_slow:
                stream.abort()
                raise ConnectionGone from too_slow
            finally:
                stream.set_deadline(None)


def refuse(stream: Stream, status: int, detail: str) -> None:
    """Answer what never became a request, as the last thing on this connection."""
    request_id = new_request_id()
    said = {"request_id": request_id, "peer": stream.peer, "status": status, "detail": detail}
    _log.info("request refused", extra=said)
    metrics.REFUSED.labels(status).inc()
    response = problem(HTTPError(status, detail), request_id)
    response.headers.append(("X-Request-ID", request_id))
    stream.write(answer_head(response, Framing.LENGTH, "1.1", keep_alive=False) + cast(bytes, response.body))


async def _close_body(response: Response) -> None:
    if not isinstance(response.body, bytes):
        await response.body.aclose()


async def _drop(body: RequestBody) -> bool:
    """Read what nobody wanted. False when the connection cannot be used after it."""
    try:
        async for _ in body:
            pass
    except HTTPError:
        return False
    return True


def _promised(fields: Fields) -> str | None:
    return next((value for name, value in fields if name.lower() == "content-length"), None)
