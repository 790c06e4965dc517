"""The way to one other service: a channel, and what each call through it needs.

    async with Channel.read(environment, "order", "product") as products:
        stub = ProductServiceStub(products.raw)
        answer = await products.call(stub.GetProducts, GetProductsRequest(product_ids=[…]))

Every call has a deadline: its own, or what is left of the request's that it is part of. It speaks in the name
of that request's principal, signed. What the callee says of a failure comes back as one of `shared.errors`.
A call is tried again, after a pause, if the contract says that it may happen twice (`idempotency_level`) and
the callee was not there (UNAVAILABLE); each try is signed anew.
"""

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from functools import lru_cache
from types import TracebackType
from typing import Self, TypeVar

from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions
from google.protobuf.message import Message
from grpc import StatusCode, aio

from shared import context
from shared.auth.identity import IdentitySigner
from shared.config import Environment, Secret
from shared.crash_points import crash_points_around
from shared.errors import ApplicationError
from shared.ids import new_request_id
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.observability.trouble import IntermittentTrouble
from shared.rpc.backoff import may_try_again, pause_before
from shared.rpc.metadata import Metadata, call_metadata
from shared.rpc.statuses import DETAILS_KEY, ERROR_OF, error_of
from shared.rpc.targets import target_of

CALL_SECONDS = 2.0  # what a call gets that names nothing else: a gateway's client waits 30 at most

OPTIONS = (
    ("grpc.lb_policy_name", "round_robin"),
    ("grpc.enable_retries", 0),  # ours are below, signed anew each
    ("grpc.enable_http_proxy", 0),  # a proxy for the world outside is none for our own services
    # A callee that was away is noticed within a second of its return; the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # A callee that is silent, frozen or gone without a farewell, is noticed and left out 15 s later.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
)

Q = TypeVar("Q", bound=Message)
R = TypeVar("R", bound=Message)

_log = logging.getLogger(__name__)


class Channel:
    """From `caller` to all `addresses` of `callee`, which share the calls. An async context manager."""

    def __init__(self, caller: str, callee: str, addresses: Sequence[str], key: Secret) -> None:
        """`key` is the text that both share. Raises ConfigError for what cannot be used."""
        self._callee = callee
        self._signer = IdentitySigner(caller, callee, key)
        self._target = target_of(addresses, f"{callee.upper()}_RPC_ADDRESSES")
        self._trouble = IntermittentTrouble(_log, f"{callee} cannot be called", f"{callee} answers again")
        metrics.expose(metrics.RPC_CALLED)
        metrics.expose(metrics.RPC_TRIED_AGAIN)

    @classmethod
    def read(cls, environment: Environment, caller: str, callee: str) -> Self:
        """By <CALLEE>_RPC_ADDRESSES and IDENTITY_KEY_<CALLER>_<CALLEE>. Raises ConfigError."""
        key = environment.identity_key(caller, callee)
        return cls(caller, callee, environment.rpc_addresses(callee), key)

    async def __aenter__(self) -> Self:
        self.raw = aio.insecure_channel(self._target, options=OPTIONS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.raw.close()

    async def call(
        self, method: aio.UnaryUnaryMultiCallable[Q, R], request: Q, *, seconds: float = CALL_SECONDS
    ) -> R:
        """What the callee answers to `request` within `seconds`, all tries together.

        `method` is the stub's. Raises the callee's error; Unavailable when it does not answer;
        DeadlineExceeded when the time is over that our own caller gave.
        """
        contract = _contract(request.DESCRIPTOR)
        until, attempt = _until(seconds), 1
        while True:
            try:
                return await self._try(method, request, contract, until)
            except aio.AioRpcError as failure:
                pause = pause_before(attempt + 1, random.random())  # noqa: S311 - no secret
                if not self._is_worth_another(failure, contract, attempt, pause, until):
                    raise self._error(failure) from failure
            metrics.RPC_TRIED_AGAIN.labels(_path(contract)).inc()
            await asyncio.sleep(pause)
            attempt += 1

    async def _try(
        self, method: aio.UnaryUnaryMultiCallable[Q, R], request: Q, contract: MethodDescriptor, until: float
    ) -> R:
        started, status = time.monotonic(), StatusCode.CANCELLED
        if until <= started:
            raise error_of(_code_of_lateness(), "", b"", self._callee)
        try:
            metadata = self._metadata(_path(contract))
            with crash_points_around(f"call_of_{contract.name}"):
                response = await method(request, timeout=until - started, metadata=metadata)
            status = StatusCode.OK
        except aio.AioRpcError as failure:
            status = failure.code()
            raise
        finally:
            metrics.RPC_CALLED.labels(_path(contract), status.name).observe(time.monotonic() - started)
        self._trouble.worked()
        return response

    def _metadata(self, path: str) -> Metadata:
        request_id = context.request_id.get() or new_request_id()
        trace = context.trace.get() or begin_span(None)
        now_ms = time.time_ns() // 1_000_000
        return call_metadata(self._signer, path, request_id, trace, context.principal.get(), now_ms)

    def _is_worth_another(
        self, failure: aio.AioRpcError, contract: MethodDescriptor, attempt: int, pause: float, until: float
    ) -> bool:
        if failure.code() is not StatusCode.UNAVAILABLE:
            return False
        left = until - time.monotonic()
        return may_try_again(attempt, pause, left, idempotent=_is_idempotent(contract))

    def _error(self, failure: aio.AioRpcError) -> ApplicationError:
        code, detail = failure.code(), failure.details() or ""
        if code is StatusCode.DEADLINE_EXCEEDED:
            code = _code_of_lateness()
        if code not in ERROR_OF or code is StatusCode.UNAVAILABLE:
            self._trouble.failed(failure.code().name, detail=detail)
        return error_of(code, detail, _details(failure), self._callee)


def _until(seconds: float) -> float:
    """When a call must have been answered, on the monotonic clock."""
    own = time.monotonic() + seconds
    inherited = context.deadline.get()
    return own if inherited is None else min(own, inherited)


def _code_of_lateness() -> StatusCode:
    """Whether the time is over that our own caller gave, or it was our own patience that ended."""
    inherited = context.deadline.get()
    is_callers = inherited is not None and inherited <= time.monotonic()
    return StatusCode.DEADLINE_EXCEEDED if is_callers else StatusCode.UNAVAILABLE


def _details(failure: aio.AioRpcError) -> bytes:
    found = (value for name, value in failure.trailing_metadata() or () if name == DETAILS_KEY)
    return next((value for value in found if isinstance(value, bytes)), b"")


@lru_cache
def _contract(request: Descriptor) -> MethodDescriptor:
    """The call that takes it: each has a request of its own (buf's rule RPC_REQUEST_RESPONSE_UNIQUE)."""
    services = request.file.services_by_name.values()
    return next(method for each in services for method in each.methods if method.input_type is request)


@lru_cache
def _path(contract: MethodDescriptor) -> str:
    return f"/{contract.containing_service.full_name}/{contract.name}"


@lru_cache
def _is_idempotent(contract: MethodDescriptor) -> bool:
    return contract.GetOptions().idempotency_level != MethodOptions.IDEMPOTENCY_UNKNOWN
