"""gateway.toml: where the gateway listens, which upstreams there are, which route leads to which.

`${NAME}` in a text is the environment's setting of that name, or what PORT_BASE implies for the addresses of
our own services (`${PRODUCT_URL}`).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from shared.config import LOOPBACK, Address, Environment
from shared.http.timeouts import Timeouts
from shared.ports import SERVICES
from shared.proxy.routes import (
    DEFAULT_BODY_LIMIT_BYTES,
    DEFAULT_TIMEOUTS,
    MOST_BUFFERED_BYTES,
    Auth,
    GatewayRoute,
)
from shared.proxy.toml_file import File, Table

_AUTHS = ("none", "optional", "required")
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110 section 9.1; upper and lower case differ
_PREFIX = re.compile(r"/|(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+")  # whole segments, as they read when decoded
_CALLEE = re.compile(r"[a-z_]+")
_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True)
class UpstreamConfig:
    """`[upstream.NAME]`. `identity`, when not empty, is the name under which calls are signed for it."""

    name: str
    origins: tuple[str, ...]
    identity: str = ""


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """The whole file."""

    listen: Address
    admin: Address
    upstreams: dict[str, UpstreamConfig]
    routes: tuple[GatewayRoute, ...]

    @property
    def checks_tokens(self) -> bool:
        """Whether any route needs the auth server's keys and the store's revocations."""
        return any(route.auth != "none" for route in self.routes)


def read_config(path: Path, environment: Environment) -> GatewayConfig:
    """The file at `path`. Raises ConfigError: FaultyFile names every fault with its line and key."""
    file = File(path, _variables(environment))
    root = file.root
    upstreams = {name: _upstream(name, table) for name, table in root.table("upstream").children()}
    tables = root.tables("route")
    routes = [_route(table, upstreams) for table in tables]
    _refuse_doubles(routes, tables)
    if not tables:
        root.note("route", "there is none")
    bind_host = environment.text("BIND_HOST", LOOPBACK)
    config = GatewayConfig(
        listen=_address(root, "listen", Address(bind_host, environment.port("gateway"))),
        admin=_address(root, "admin", Address(LOOPBACK, environment.port("gateway_admin"))),
        upstreams=upstreams,
        routes=tuple(routes),
    )
    root.done()
    file.refuse_faults()
    return config


def _variables(environment: Environment) -> Callable[[str], str | None]:
    implied = {f"{service.upper()}_URL": environment.service_url(service) for service in SERVICES}
    implied |= {"BIND_HOST": LOOPBACK, "PORT_BASE": str(environment.port_base)}

    def variable(name: str) -> str | None:
        return environment.values.get(name, "").strip() or implied.get(name)

    return variable


def _address(table: Table, key: str, default: Address) -> Address:
    """`host:port`, `[::1]:port`, or `:port` for every interface."""
    if key not in table:
        return default
    host, colon, port = table.text(key).rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > _MAX_PORT:
        table.note(key, "must be host:port")
        return default
    return Address(host.removeprefix("[").removesuffix("]"), int(port))


def _upstream(name: str, table: Table) -> UpstreamConfig:
    origins = tuple(_origin(table, target) for target in table.texts("targets"))
    if not origins:
        table.note("targets", "must name at least one address")
    identity = table.text("identity", "")
    if identity and not _CALLEE.fullmatch(identity):
        table.note("identity", "must be a service's name: small letters and underscores")
    table.done()
    return UpstreamConfig(name, origins, identity)


def _origin(table: Table, target: str) -> str:
    """`target` without the slash that people like to end it with."""
    try:
        parts = urlsplit(target)
        extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0 and not extra
    except ValueError:
        usable = False
    if not usable:
        table.note("targets", "must be like http://host:port")
        return ""
    return f"{parts.scheme}://{parts.netloc}"


def _route(table: Table, upstreams: dict[str, UpstreamConfig]) -> GatewayRoute:
    route = GatewayRoute(
        prefix=_prefix(table),
        upstream=table.text("upstream"),
        methods=_methods(table),
        auth=cast(Auth, table.choice("auth", "required", _AUTHS)),
        roles=frozenset(table.texts("roles")),
        body_limit=table.integer("body_limit", DEFAULT_BODY_LIMIT_BYTES),
        buffer_body=table.flag("buffer_body"),
        strip_prefix=table.flag("strip_prefix"),
        raw_path=table.flag("raw_path"),
        timeouts=_timeouts(table.table("timeouts")),
    )
    if route.upstream and route.upstream not in upstreams:
        table.note("upstream", f"there is no [upstream.{route.upstream}]")
    if route.buffer_body and not 0 < route.body_limit <= MOST_BUFFERED_BYTES:
        table.note("buffer_body", f"needs a body_limit from 1 to {MOST_BUFFERED_BYTES}")
    if route.roles and route.auth != "required":
        table.note("roles", 'need auth = "required"')
    table.done()
    return route


def _prefix(table: Table) -> str:
    prefix = table.text("prefix")
    dots = not {".", ".."}.isdisjoint(prefix.split("/"))
    if prefix and (dots or not _PREFIX.fullmatch(prefix)):
        table.note("prefix", "must be / or whole segments like /a/b, without a slash at the end or any %")
    return prefix


def _methods(table: Table) -> frozenset[str]:
    """Empty for all. Whoever may GET may ask for the HEAD (RFC 9110 section 9.3.2)."""
    methods = frozenset(table.texts("methods"))
    for method in methods:
        if not _METHOD.fullmatch(method):
            table.note("methods", f"{method!r} is not a method's name")
    return methods | {"HEAD"} if "GET" in methods else methods


def _timeouts(table: Table) -> Timeouts:
    usual = DEFAULT_TIMEOUTS
    timeouts = Timeouts(
        connect=table.seconds("connect_seconds", usual.connect),
        head=table.seconds("head_seconds", usual.head),
        idle=table.seconds("idle_seconds", usual.idle),
        total=table.seconds("total_seconds", 1) if "total_seconds" in table else usual.total,
    )
    table.done()
    return timeouts


def _refuse_doubles(routes: list[GatewayRoute], tables: list[Table]) -> None:
    """Two routes for the same request would have one of them never used."""
    for index, (route, table) in enumerate(zip(routes, tables, strict=True)):
        for other in routes[:index]:
            overlap = not route.methods or not other.methods or route.methods & other.methods
            if route.prefix == other.prefix and overlap:
                table.note("prefix", f"{route.prefix} has a route for the same methods already")
                break
