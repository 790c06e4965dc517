"""One connection of one user: what it asks for is answered in its order, whatever else goes on.

Nothing waits in the reader: pings, and the peer's farewell, are noticed while an answer takes its time. So an
idle connection is one task that waits, and one with requests has a second one for as long as it has some.
"""

import json
import logging
import random
from collections import deque

from services.ws_gateway import frames
from services.ws_gateway.domain.chat import Who
from services.ws_gateway.domain.rooms import Subscription
from services.ws_gateway.service.rooms import Rooms, TooManySubscriptions
from shared import context
from shared.errors import ApplicationError, Invalid
from shared.http.stream import Stream
from shared.ids import new_request_id
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.tasks import spawn
from shared.websocket.connection import GOING_AWAY, LOST, POLICY, UNSUPPORTED, WebSocket
from shared.websocket.encoding import Encoded
from shared.websocket.hub import Hub

REQUESTS_AT_MOST = 32  # of one connection; one more is told to come back later

_log = logging.getLogger(__name__)


class Visitor:
    """The connection, from the moment it is admitted: `hub` has it then.

    It is what the hub calls a holder, rooms a listener, and sessions a guest.
    """

    __slots__ = (
        "_hub",
        "_is_answering",
        "_reconnect_spread",
        "_requests",
        "_rooms",
        "session_expires_ms",
        "socket",
        "subscriptions",
        "who",
    )

    def __init__(
        self,
        who: Who,
        session_expires_ms: int,
        socket: WebSocket,
        hub: "Hub[Visitor]",
        rooms: Rooms,
        reconnect_spread: float,
    ) -> None:
        """`session_expires_ms` is Unix time, `reconnect_spread` in seconds."""
        self.who = who
        self.session_expires_ms = session_expires_ms
        self.socket = socket
        self.subscriptions: dict[str, Subscription] = {}  # by room
        self._hub = hub
        self._rooms = rooms
        self._reconnect_spread = reconnect_spread
        self._requests: deque[frames.Request] | None = None  # made when there is one
        self._is_answering = False

    async def serve(self, stream: Stream) -> None:
        """Until the connection has ended."""
        context.deadline.set(None)  # that was the handshake's
        self.socket.attach(stream)
        try:
            while (text := await self.socket.receive()) is not None:
                self._hear(text)
        finally:
            self._requests = None
            self._hub.remove(self)
            self._rooms.unsubscribe_from_all(self)
            metrics.WS_CLOSES.labels(_ending(self.socket)).inc()
        await self.socket.finish()

    def leave(self) -> None:
        """The process ends: come back elsewhere, but not everybody in the same instant."""
        delay_ms = round(random.uniform(0, self._reconnect_spread) * 1000)  # noqa: S311 - no secret
        self.socket.close(GOING_AWAY, json.dumps({"reconnect_in_ms": delay_ms}))

    def send(self, frame: Encoded) -> None:
        """To the client; never waits."""
        self.socket.send(frame)

    def close(self, code: int, reason: str) -> None:
        """End the connection, saying why."""
        self.socket.close(code, reason)

    def _hear(self, text: str | bytes) -> None:
        metrics.WS_MESSAGES_IN.inc()
        if isinstance(text, bytes):
            self.socket.close(UNSUPPORTED, "frames are JSON text")
            return
        try:
            self._enqueue(frames.read_request(text))
        except frames.Unreadable as unreadable:
            self.send(frames.error(unreadable.id, unreadable.code, unreadable.detail))

    def _enqueue(self, request: frames.Request) -> None:
        if self._requests is None:
            self._requests = deque()
        if len(self._requests) >= REQUESTS_AT_MOST:
            self.send(frames.error(request.id, "busy", "Wait for answers before you ask for more."))
            return
        self._requests.append(request)
        if not self._is_answering:
            self._is_answering = True
            spawn(self._answer_all(), f"requests of {self.who.user_id}")

    async def _answer_all(self) -> None:
        """One after the other, and none before the client has taken most of what it was told before."""
        while self._requests and self.socket.is_open:
            await self._answer(self._requests.popleft())
            await self.socket.drain()
        if self._requests is not None:
            self._requests = None  # an empty deque is as large as all the rest of an idle visitor
        self._is_answering = False

    async def _answer(self, request: frames.Request) -> None:
        context.request_id.set(new_request_id())  # each has a trace of its own, not the handshake's
        context.trace.set(begin_span(None))
        try:
            await self._do(request)
        except ApplicationError as failure:
            self.send(frames.error(request.id, failure.code.replace("-", "_"), _in_words(failure)))
            if isinstance(failure, TooManySubscriptions):
                self.socket.close(POLICY, failure.detail)
        except Exception:
            _log.exception("request on a socket failed")
            self.send(frames.error(request.id, "internal", "Something went wrong on our side."))

    async def _do(self, request: frames.Request) -> None:
        match request:
            case frames.Subscribe():
                await self._rooms.subscribe(self, request)
            case frames.Unsubscribe():
                self._rooms.unsubscribe(self, request.room)
                self.send(frames.unsubscribed(request))
            case frames.Post():
                await self._rooms.post(self, request)


def _ending(socket: WebSocket) -> str:
    """Why a socket has ended, in one of few words."""
    if socket.is_closed_by_us:
        return str(socket.close_code)
    return "lost" if socket.close_code == LOST else "peer"


def _in_words(failure: ApplicationError) -> str:
    """What the client is told: the detail, and every bad field."""
    fields = failure.fields if isinstance(failure, Invalid) else ()
    return "; ".join([failure.detail, *(f"{each.field}: {each.detail}" for each in fields)])
