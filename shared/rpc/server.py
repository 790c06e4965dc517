"""The gRPC server beside a service's HTTP server: who may call, health, reflection, drain."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from shared.auth.identity import IdentityVerifier
from shared.config import ConfigError
from shared.duties import Duty, repeatedly
from shared.rpc.interceptor import CallInterceptor
from shared.runtime import Readiness
from shared.tasks import background, spawn

DRAIN_SECONDS = 3.0
MAX_CALLS = 200  # at once: as many as may wait for a database; past it RESOURCE_EXHAUSTED
HEALTH_SECONDS = 1.0  # how old the answer of the health service may be

MAX_REQUEST_BYTES = 131_072  # several times our longest: 100 items, or 4,000 characters

OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second process on the same port is a mistake that must be seen
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: little could become much
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),  # channels of ours ask every 10 s
)

S = TypeVar("S")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RpcService:
    """A contract, and what adds its implementation to a server."""

    contract: ServiceDescriptor
    add_to: Callable[[aio.Server], None]


def rpc_service(file: FileDescriptor, add_to_server: Callable[[S, aio.Server], None], calls: S) -> RpcService:
    """The one service that `file` declares, answered by `calls`; `add_to_server` is generated."""
    (contract,) = file.services_by_name.values()
    return RpcService(contract, partial(add_to_server, calls))


class RpcServer:
    """The server while it runs; made by `serve_rpc`."""

    def __init__(self, server: aio.Server, vitals: health.HealthServicer, port: int) -> None:
        self.port = port
        self._server = server
        self._vitals = vitals
        self._stopping: asyncio.Task[None] | None = None

    def stop_accepting(self) -> asyncio.Task[None]:
        """From now on calls are refused; ends when those in flight have, after DRAIN_SECONDS at most."""
        if self._stopping is None:
            self._stopping = spawn(self._drain(), "gRPC drain")
        return self._stopping

    async def _drain(self) -> None:
        await self._vitals.enter_graceful_shutdown()
        await self._server.stop(DRAIN_SECONDS)


@asynccontextmanager
async def serve_rpc(
    process: str,
    services: Sequence[RpcService],
    address: tuple[str, int],
    verifier: IdentityVerifier,
    readiness: Readiness,
    *,
    reflects: bool = False,
) -> AsyncIterator[RpcServer]:
    """A server of `services` while the block runs; it is drained when the block is left.

    Calls pass `verifier`. `readiness` is what the health service tells; `reflects` lets anybody read the
    contracts from the server. Port 0 asks for a free one. Raises ConfigError when the address cannot be had.
    """
    interceptor = CallInterceptor(process, verifier)
    server = aio.server(interceptors=[interceptor], options=OPTIONS, maximum_concurrent_rpcs=MAX_CALLS)
    for service in services:
        service.add_to(server)
    names = [service.contract.full_name for service in services]
    vitals = _Vitals()
    health_pb2_grpc.add_HealthServicer_to_server(vitals, server)
    if reflects:
        reflection.enable_server_reflection([*names, HEALTH, reflection.SERVICE_NAME], server)
    running = RpcServer(server, vitals, _listen(server, *address))
    await server.start()
    _log.info("answers gRPC", extra={"service": process, "host": address[0], "port": running.port})
    try:
        async with background(repeatedly(_health_duty(vitals, names, readiness)), "gRPC health"):
            yield running
    finally:
        await running.stop_accepting()


class _Vitals(health.HealthServicer):
    """Whoever wants to know asks again: a few strangers who watch for ever would use up MAX_CALLS."""

    async def Watch(self, request: HealthCheckRequest, context: Any) -> None:  # noqa: N802
        await context.abort(StatusCode.UNIMPLEMENTED, "Ask Check.")


def _listen(server: aio.Server, host: str, port: int) -> int:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        return server.add_insecure_port(where)
    except RuntimeError as taken:
        raise ConfigError(where, "cannot listen there for gRPC") from taken


def _health_duty(vitals: health.HealthServicer, names: Sequence[str], readiness: Readiness) -> Duty:
    async def tell() -> None:
        is_ready = not await readiness.failures()
        status = HealthCheckResponse.SERVING if is_ready else HealthCheckResponse.NOT_SERVING
        await asyncio.gather(*(vitals.set(name, status) for name in ("", *names)))

    return Duty("gRPC health", tell, HEALTH_SECONDS)
