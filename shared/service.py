"""What every service's main does the same way: its settings, its chain of middleware, its port."""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from shared.auth.identity import IdentityVerifier
from shared.callers import GATEWAY, OPERATOR, rpc_callers
from shared.config import LOOPBACK, Environment, Secret, identity_key_setting
from shared.db.pool import check_url
from shared.http.chain import chain
from shared.http.messages import Handler
from shared.http.operations import OPERATIONS_PATHS, operations_routes
from shared.http.routing import Route, Router
from shared.http.server import Server, serve
from shared.middleware.access_log import access_log
from shared.middleware.errors import errors
from shared.middleware.identity import identity
from shared.middleware.request_id import request_id
from shared.rpc.server import RpcServer, RpcService, serve_rpc
from shared.runtime import Readiness

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """What each service must be told. The keys are those of whoever may call it over HTTP, and over gRPC."""

    name: str
    host: str
    port: int
    database_url: Secret
    rpc_port: int
    http_keys: Mapping[str, Secret]
    rpc_keys: Mapping[str, Secret]
    reflects: bool = False  # whether anybody may read the gRPC contracts from the server

    @classmethod
    def read(cls, environment: Environment, name: str) -> "ServiceSettings":
        """From <NAME>_BIND_HOST, DATABASE_URL_<NAME>, IDENTITY_KEY_<CALLER>_<NAME>, RPC_REFLECTION.

        Raises ConfigError.
        """
        key = name.upper()
        database_url = environment.database_url(name)
        check_url(database_url, f"DATABASE_URL_{key}")
        return cls(
            name=name,
            host=environment.text(f"{key}_BIND_HOST", LOOPBACK),
            port=environment.port(name),
            database_url=database_url,
            rpc_port=environment.rpc_port(name),
            http_keys={GATEWAY: environment.identity_key(GATEWAY, name)},
            rpc_keys=_rpc_keys(environment, name),
            reflects=environment.choice("RPC_REFLECTION", "off", ("off", "on")) == "on",
        )


def _rpc_keys(environment: Environment, name: str) -> Mapping[str, Secret]:
    """An installation may do without the operator's key: then nobody speaks as the operator."""
    callers = rpc_callers(name)
    keys = {caller: environment.identity_key(caller, name) for caller in callers if caller != OPERATOR}
    operator = environment.secret(identity_key_setting(OPERATOR, name), default="")
    return {**keys, OPERATOR: operator} if callers and operator.value else keys


def service_handler(settings: ServiceSettings, routes: Sequence[Route], readiness: Readiness) -> Handler:
    """`routes` and those for the operator, behind the chain that every request to a service passes."""
    return chain(
        Router([*routes, *operations_routes(readiness)]),
        request_id(),
        access_log(settings.name, quiet=OPERATIONS_PATHS),
        errors(),
        identity(IdentityVerifier(settings.name, settings.http_keys)),
    )


@asynccontextmanager
async def serve_service(
    settings: ServiceSettings,
    routes: Sequence[Route],
    readiness: Readiness,
    calls: Sequence[RpcService] = (),
) -> AsyncIterator[Server]:
    """The service listens while the block runs, and finishes what is in flight when it is left.

    `routes` answer HTTP, `calls` gRPC; without any there is no gRPC server.
    """
    handler = service_handler(settings, routes, readiness)
    async with AsyncExitStack() as stack:
        rpc = await stack.enter_async_context(_serve_calls(settings, calls, readiness)) if calls else None
        server = await stack.enter_async_context(
            serve(handler, settings.host, settings.port, readiness=readiness)
        )
        if rpc is not None:
            stack.callback(rpc.stop_accepting)  # first of all, so that both servers drain at the same time
        _log.info("listening", extra={"service": settings.name, "host": settings.host, "port": server.port})
        yield server


def _serve_calls(
    settings: ServiceSettings, calls: Sequence[RpcService], readiness: Readiness
) -> AbstractAsyncContextManager[RpcServer]:
    verifier = IdentityVerifier(settings.name, settings.rpc_keys)
    address = (settings.host, settings.rpc_port)
    return serve_rpc(settings.name, calls, address, verifier, readiness, reflects=settings.reflects)
