"""What every call passes before it reaches a service, and after: the middleware of gRPC, in one piece.

The signature is checked before anything of the message is read: a stranger's call costs no more than its
metadata. Then request id, trace and deadline are taken from the call, errors become statuses, and one log
line and one measurement are left behind. Health and reflection alone are for anybody: they tell no secrets,
and an operator's probe has no key.

gRPC cancels the work on a call whose caller has given up; a transaction that it is in is rolled back. That is
why every command of ours may be sent again.
"""

import json
import logging
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, NoReturn, TypeAlias

import grpc
from grpc import StatusCode, aio

from shared import context
from shared.auth.identity import IdentityRefused, IdentityVerifier, signed_by
from shared.context import Principal
from shared.errors import ApplicationError
from shared.http.messages import Headers
from shared.ids import GOOD_REQUEST_ID, new_request_id
from shared.observability import metrics
from shared.observability.logs import lines, timestamp
from shared.observability.tracing import begin_span
from shared.rpc.metadata import read_metadata, verify
from shared.rpc.statuses import DETAILS_KEY, details_of, status_of

OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")
LONGEST_SECONDS = 10.0  # what a caller who names no deadline gets: as long as a statement may take

MethodHandler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Call: TypeAlias = "aio.ServicerContext[Any, Any]"
Behaviour = Callable[[Any, Call], Awaitable[Any]]

_log = logging.getLogger(__name__)


class CallInterceptor(aio.ServerInterceptor):
    """Stands before all services of one server. `process` is the name that log lines carry."""

    def __init__(self, process: str, verifier: IdentityVerifier) -> None:
        self._process = process
        self._verifier = verifier
        metrics.expose(metrics.RPC_ANSWERED)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[MethodHandler | None]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        """What answers the call; None where there is no such call."""
        path = handler_call_details.method
        handler = await continuation(handler_call_details)
        if handler is None or path.startswith(OPEN_TO_ALL):
            return handler
        headers = read_metadata(handler_call_details.invocation_metadata or ())
        try:
            principal = verify(self._verifier, path, headers, time.time_ns() // 1_000_000)
        except IdentityRefused as refused:
            return self._refusing(_Asked(self._process, path, headers), refused)
        return self._giving(_Asked(self._process, path, headers, principal), handler)

    def _refusing(self, asked: "_Asked", refused: IdentityRefused) -> MethodHandler:
        """A stream is answered without being read: the message stays where it is."""

        async def refuse(_: object, call: Call) -> None:
            _log.warning("identity refused", extra={"reason": refused.reason, "peer": call.peer()})
            await _Answer(asked, call).fail(refused)

        return grpc.stream_stream_rpc_method_handler(refuse)

    def _giving(self, asked: "_Asked", handler: MethodHandler) -> MethodHandler:
        behaviour: Any = handler.unary_unary
        if behaviour is None:
            raise TypeError(f"{asked.path} is a stream; nothing here guards streams")

        async def give(request: Any, call: Call) -> Any:
            return await _Answer(asked, call).give(behaviour, request)

        return grpc.unary_unary_rpc_method_handler(
            give, handler.request_deserializer, handler.response_serializer
        )


class _Asked(NamedTuple):
    """What is known of a call before its message is read. `principal` is None if nothing has been proved."""

    process: str
    path: str
    headers: Headers
    principal: Principal | None = None


class _Answer:
    """One call from its metadata to its status."""

    def __init__(self, asked: _Asked, call: Call) -> None:
        self._asked = asked
        self._call = call
        self._started = time.perf_counter()
        sent = asked.headers.get("x-request-id", "")
        left = call.time_remaining()
        seconds = LONGEST_SECONDS if left is None else min(left, LONGEST_SECONDS)
        context.request_id.set(sent if GOOD_REQUEST_ID.fullmatch(sent) else new_request_id())
        context.trace.set(begin_span(asked.headers.get("traceparent")))
        context.deadline.set(time.monotonic() + seconds)
        context.principal.set(asked.principal or context.ANONYMOUS)

    async def give(self, behaviour: Behaviour, request: Any) -> Any:
        """What `behaviour` answers; its failure ends the call."""
        try:
            response = await behaviour(request, self._call)
        except ApplicationError as failure:
            await self.fail(failure)
        except CancelledError:
            self._end(StatusCode.CANCELLED)
            raise
        except Exception:
            _log.exception("unexpected failure", extra={"rpc": self._asked.path})
            await self.fail(ApplicationError("Something went wrong on our side."))
        self._end(StatusCode.OK)
        return response

    async def fail(self, failure: ApplicationError) -> NoReturn:
        """End the call with the status of `failure`."""
        status = status_of(failure)
        self._end(status)
        await self._call.abort(status, failure.detail, ((DETAILS_KEY, details_of(failure)),))

    def _end(self, status: StatusCode) -> None:
        seconds = time.perf_counter() - self._started
        metrics.RPC_ANSWERED.labels(self._asked.path, status.name).observe(seconds)
        lines.write(json.dumps(self._line(status, seconds)))

    def _line(self, status: StatusCode, seconds: float) -> dict[str, object]:
        trace = context.trace.get() or context.Trace("", "")
        return {
            "time": timestamp(time.time()),
            "level": "error" if status is StatusCode.INTERNAL else "info",
            "process": self._asked.process,
            "request_id": context.request_id.get(),
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
            "rpc": self._asked.path,
            "status": status.name,
            "duration_ms": round(seconds * 1000, 3),
            "caller": None if self._asked.principal is None else signed_by(self._asked.headers),
            "user_id": context.principal.get().user_id or None,
            "peer": self._call.peer(),
        }
