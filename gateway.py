"""The API gateway: the one public HTTP entry of the system.

Every request passes, from the outside in:

    request id → access log → errors → match route → body limit → authenticate → authorize → forward

and, where a route says so, reading the whole body just before the last. The first three are the same for all.
The others are put together once for each route of gateway.toml, so that a public route has no token check in
its way at all. With public routes only, the gateway needs no store, no auth server and no secrets.

    python gateway.py [--config FILE] [--check]
"""

import argparse
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from shared.auth.identity import IdentitySigner
from shared.auth.jwks import JWKS_PATH, Fetch, JWKSCache
from shared.auth.revocation_mirror import STALE_SECONDS, RevocationMirror
from shared.auth.revocation_store import SIGNING_KEYS_CHANGED
from shared.auth.settings import TokenSettings
from shared.config import CHECKOUT, ConfigError, Environment
from shared.context import ANONYMOUS
from shared.descriptors import provide_for
from shared.errors import Unavailable
from shared.http.chain import chain
from shared.http.client import Client
from shared.http.connection import ServerLimits
from shared.http.messages import Handler, Middleware, Request, Response, json_response
from shared.http.operations import operations_routes
from shared.http.pool import PoolLimits
from shared.http.routing import Route, Router
from shared.http.server import serve
from shared.http.timeouts import Timeouts
from shared.ids import new_request_id
from shared.middleware.access_log import access_log
from shared.middleware.authenticate import AccessTokens, anonymous, authenticate
from shared.middleware.authorize import authorize
from shared.middleware.body_limit import body_limit
from shared.middleware.buffer_body import buffer_body
from shared.middleware.client_address import TrustedProxies
from shared.middleware.errors import errors
from shared.middleware.request_id import request_id
from shared.proxy.config import GatewayConfig, UpstreamConfig, read_config
from shared.proxy.forward import Forward
from shared.proxy.overview import overview
from shared.proxy.routes import GatewayRoute, RouteTable
from shared.proxy.upstreams import Upstream
from shared.runtime import Readiness, forever, run

NAME = "gateway"

JWKS_LIMIT_BYTES = 262_144  # hundreds of keys
JWKS_TIMEOUTS = Timeouts(connect=1.0, head=2.0, idle=2.0, total=3.0)

_log = logging.getLogger(__name__)


# What a request passes


def pipeline(
    config: GatewayConfig,
    environment: Environment,
    client: Client,
    upstreams: Mapping[str, Upstream],
    tokens: AccessTokens | None,
) -> Handler:
    """The whole gateway as one handler. `tokens` may be None when no route asks for any."""
    signers = {name: _signer(upstream, environment) for name, upstream in config.upstreams.items()}

    def behind(route: GatewayRoute) -> Handler:
        buffering = [buffer_body(route.body_limit)] if route.buffer_body else []
        return chain(
            Forward(route, upstreams[route.upstream], client, signers[route.upstream]),
            body_limit(route.body_limit),
            _authentication(route, tokens),
            authorize(route.roles),
            *buffering,
        )

    trusted_proxies = TrustedProxies(environment.words("TRUSTED_PROXIES"))
    return chain(
        _match_route({route: behind(route) for route in config.routes}),
        request_id(trusted_proxies),
        access_log(NAME),
        errors(),
    )


def _match_route(handlers: Mapping[GatewayRoute, Handler]) -> Handler:
    table = RouteTable(handlers)

    def match_route(request: Request) -> Awaitable[Response]:
        route = table.match(request.method, request.path)
        request.route = route.prefix
        return handlers[route](request)

    return match_route


def _authentication(route: GatewayRoute, tokens: AccessTokens | None) -> Middleware:
    if route.auth == "none":
        return anonymous()
    if tokens is None:
        raise ValueError(f"{route.prefix} asks for tokens, but nothing here can check them")
    return authenticate(tokens, route.auth)


def _signer(upstream: UpstreamConfig, environment: Environment) -> IdentitySigner | None:
    """Only an upstream that shares a key with us is told who asks."""
    if not upstream.identity:
        return None
    return IdentitySigner(NAME, upstream.identity, environment.identity_key(NAME, upstream.identity))


# What checking tokens stands on


@asynccontextmanager
async def access_tokens(environment: Environment, readiness: Readiness) -> AsyncIterator[AccessTokens]:
    """The auth server's keys and the store's revocations, kept up to date while the block runs."""
    client = Client()  # not the one that clients' requests queue for
    keys = JWKSCache(_fetch_keys(environment, client))
    revocations = RevocationMirror(
        environment.redis_url(),
        stale_seconds=environment.seconds("REVOCATION_STALE_SECONDS", STALE_SECONDS),
        on_change={SIGNING_KEYS_CHANGED: keys.refresh_soon},
    )
    readiness.require("signing keys", keys.check)
    readiness.require("revocations", revocations.check)
    try:
        async with keys, revocations:
            yield AccessTokens(TokenSettings.read(environment), keys, revocations)
    finally:
        await client.close()


def _fetch_keys(environment: Environment, client: Client) -> Fetch:
    """Asks the auth server as every caller of ours does: signed, here in nobody's name."""
    origin = environment.service_url("auth")
    signer = IdentitySigner(NAME, "auth", environment.identity_key(NAME, "auth"))

    async def fetch() -> bytes:
        request_id = new_request_id()
        identity = signer.sign(request_id, "GET", JWKS_PATH, ANONYMOUS, int(time.time() * 1000))
        fields = [("X-Request-ID", request_id), *identity]
        answer = await client.request(origin, "GET", JWKS_PATH, fields, timeouts=JWKS_TIMEOUTS)
        try:
            if answer.status != 200:  # noqa: PLR2004
                raise Unavailable(f"The auth server answers {answer.status}.")
            return await answer.body.read(JWKS_LIMIT_BYTES)
        finally:
            await answer.body.aclose()

    return fetch


# For the operator


def admin(config: GatewayConfig, upstreams: Mapping[str, Upstream], readiness: Readiness) -> Handler:
    """The handler of the admin port."""

    async def show_routes(_: Request) -> Response:
        return json_response(200, overview(config.routes, upstreams.values(), time.monotonic()))

    routes = [*operations_routes(readiness), Route("GET", "/routes", show_routes)]
    return chain(Router(routes), request_id(), errors())


# The process


async def main(environment: Environment, path: Path) -> None:
    """Serve until told to stop. Raises ConfigError."""
    config = read_config(path, environment)
    provide_for(_most_connections(config))
    upstreams = {name: Upstream(name, upstream.origins) for name, upstream in config.upstreams.items()}
    readiness = Readiness()
    async with AsyncExitStack() as opened:
        client = Client()
        opened.push_async_callback(client.close)
        tokens = None
        if config.checks_tokens:
            tokens = await opened.enter_async_context(access_tokens(environment, readiness))
        handler = pipeline(config, environment, client, upstreams, tokens)
        operator = await opened.enter_async_context(serve(admin(config, upstreams, readiness), *config.admin))
        public = await opened.enter_async_context(
            serve(handler, *config.listen, cancel_on_disconnect=True, readiness=readiness)
        )
        ports = {"port": public.port, "admin_port": operator.port}
        _log.info("gateway listens", extra={"host": config.listen.host, **ports})
        await forever()


def _most_connections(config: GatewayConfig) -> int:
    """How many there may be at once, with clients and with upstreams."""
    origins = sum(len(upstream.origins) for upstream in config.upstreams.values())
    return ServerLimits().connections + origins * PoolLimits().connections


def check(environment: Environment, path: Path) -> int:
    """Says what is wrong with the file at `path`, or that nothing is; the process's exit status."""
    try:
        config = read_config(path, environment)
    except ConfigError as bad:
        print(bad, file=sys.stderr)
        return 2
    counts = _count(len(config.routes), "route"), _count(len(config.upstreams), "upstream")
    print(f"{path}: {' to '.join(counts)}, no faults")
    return 0


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"


def _config_path(environment: Environment, argument: Path | None) -> Path:
    return argument or Path(environment.text("GATEWAY_CONFIG", str(CHECKOUT / "gateway.toml")))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The API gateway.")
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="instead of $GATEWAY_CONFIG or gateway.toml"
    )
    parser.add_argument("--check", action="store_true", help="validate the file, name every fault, and exit")
    return parser.parse_args()


if __name__ == "__main__":
    arguments = _arguments()
    if arguments.check:
        the_environment = Environment(os.environ)
        sys.exit(check(the_environment, _config_path(the_environment, arguments.config)))
    run(NAME, lambda environment: main(environment, _config_path(environment, arguments.config)))
