"""What every call passes before it reaches a service, and after: the middleware of gRPC, in one piece.

Request id, trace and deadline are taken from the call, the signature is checked, errors become statuses, and
one log line and one measurement are left behind. Health and reflection alone are for anybody: they tell no
secrets, and an operator's probe has no key.

gRPC cancels the work on a call whose caller has given up; a transaction that it is in is rolled back. That is
why every command of ours may be sent again.
"""

import json
import logging
import time
from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, TypeAlias

import grpc
from grpc import StatusCode, aio

from shared import context
from shared.auth.identity import IdentityRefused, IdentityVerifier, signed_by
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
Behaviour = Callable[[Any, aio.ServicerContext[Any, Any]], Awaitable[Any]]

_log = logging.getLogger(__name__)


class Answering(aio.ServerInterceptor):
    """Stands before all services of one server. `process` is the name that log lines carry."""

    def __init__(self, process: str, verifier: IdentityVerifier) -> None:
        self._process = process
        self._verifier = verifier
        self._handlers: dict[str, MethodHandler] = {}
        metrics.expose(metrics.RPC_ANSWERED)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], "Awaitable[MethodHandler | None]"],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "MethodHandler | None":
        """The handler of the call that is asked for; None for one that there is not."""
        path = handler_call_details.method
        if path not in self._handlers:
            handler = await continuation(handler_call_details)
            if handler is None or path.startswith(OPEN_TO_ALL):
                return handler
            self._handlers[path] = self._guarded(path, handler)
        return self._handlers[path]

    def _guarded(self, path: str, handler: MethodHandler) -> MethodHandler:
        behaviour: Any = handler.unary_unary
        if behaviour is None:
            raise TypeError(f"{path} is a stream; nothing here guards streams")

        async def answer(request: Any, call: aio.ServicerContext[Any, Any]) -> Any:
            return await _Answer(self._process, path, call).give(self._verifier, behaviour, request)

        return grpc.unary_unary_rpc_method_handler(
            answer, handler.request_deserializer, handler.response_serializer
        )


class _Answer:
    """One call from its metadata to its status."""

    def __init__(self, process: str, path: str, call: aio.ServicerContext[Any, Any]) -> None:
        self._process = process
        self._path = path
        self._call = call
        self._started = time.perf_counter()
        self._headers = read_metadata(call.invocation_metadata() or ())
        self._set_context(self._headers)

    async def give(self, verifier: IdentityVerifier, behaviour: Behaviour, request: Any) -> Any:
        """What `behaviour` answers, if the caller may ask; otherwise the call is aborted."""
        try:
            context.principal.set(verify(verifier, self._path, self._headers, time.time_ns() // 1_000_000))
            response = await behaviour(request, self._call)
        except ApplicationError as failure:
            await self._fail(failure)
        except CancelledError:
            self._end(StatusCode.CANCELLED)
            raise
        except Exception:
            _log.exception("unexpected failure", extra={"rpc": self._path})
            await self._fail(ApplicationError("Something went wrong on our side."))
        self._end(StatusCode.OK)
        return response

    def _set_context(self, headers: Headers) -> None:
        sent = headers.get("x-request-id", "")
        left = self._call.time_remaining()
        seconds = LONGEST_SECONDS if left is None else min(left, LONGEST_SECONDS)
        context.request_id.set(sent if GOOD_REQUEST_ID.fullmatch(sent) else new_request_id())
        context.trace.set(begin_span(headers.get("traceparent")))
        context.deadline.set(time.monotonic() + seconds)
        context.principal.set(context.ANONYMOUS)

    async def _fail(self, failure: ApplicationError) -> NoReturn:
        if isinstance(failure, IdentityRefused):
            _log.warning("identity refused", extra={"reason": failure.reason, "peer": self._call.peer()})
        status = status_of(failure)
        self._end(status)
        await self._call.abort(status, failure.detail, ((DETAILS_KEY, details_of(failure)),))

    def _end(self, status: StatusCode) -> None:
        seconds = time.perf_counter() - self._started
        metrics.RPC_ANSWERED.labels(self._path, status.name).observe(seconds)
        lines.write(json.dumps(self._line(status, seconds)))

    def _line(self, status: StatusCode, seconds: float) -> dict[str, object]:
        trace = context.trace.get() or context.Trace("", "")
        return {
            "time": timestamp(time.time()),
            "level": "error" if status is StatusCode.INTERNAL else "info",
            "process": self._process,
            "request_id": context.request_id.get(),
            "trace_id": trace.trace_id,
            "span_id": trace.span_id,
            "rpc": self._path,
            "status": status.name,
            "duration_ms": round(seconds * 1000, 3),
            "caller": signed_by(self._headers),
            "user_id": context.principal.get().user_id or None,
            "peer": self._call.peer(),
        }
