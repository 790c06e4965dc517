"""What every service does, over real sockets."""

import json
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shared.auth.identity import IdentitySigner
from shared.config import ConfigError, Environment, Secret
from shared.context import ANONYMOUS, Principal
from shared.errors import Conflict
from shared.http.client import Client
from shared.http.messages import Fields, Headers, Request, Response, json_response
from shared.http.routing import Route
from shared.http.server import Server
from shared.runtime import Readiness
from shared.service import ServiceSettings, serve_service

KEY = Secret("k1:" + secrets.token_urlsafe(32))
OTHER_KEY = Secret("k1:" + secrets.token_urlsafe(32))
SETTINGS = ServiceSettings(
    "echo", "127.0.0.1", 0, Secret("postgresql://nobody@localhost/none"), 0, {"gateway": KEY}, {}
)
ALICE = Principal("alice", "session", "token", 2_000_000_000, frozenset({"customer"}), "203.0.113.9")


async def who(request: Request) -> Response:
    principal = request.principal
    return json_response(200, {"user": principal.user_id, "address": request.client_address})


async def fail(_: Request) -> Response:
    raise Conflict("That is taken.")


async def crash(_: Request) -> Response:
    raise ZeroDivisionError("a secret of ours")


ROUTES = [Route("GET", "/who", who), Route("GET", "/fail", fail), Route("GET", "/crash", crash)]


@dataclass
class Answer:
    status: int
    headers: Headers
    content: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.content)


class Asking:
    def __init__(self, server: Server, readiness: Readiness) -> None:
        self.client = Client()
        self.origin = f"http://127.0.0.1:{server.port}"
        self.readiness = readiness

    async def plain(self, target: str, *fields: tuple[str, str]) -> Answer:
        response = await self.client.request(self.origin, "GET", target, list(fields))
        return Answer(response.status, response.headers, await response.body.read(1_000_000))

    async def signed(
        self, target: str, principal: Principal = ANONYMOUS, *, callee: str = "echo", key: Secret = KEY
    ) -> Answer:
        fields: Fields = [("X-Request-ID", "req-7")]
        now = time.time_ns() // 1_000_000
        fields += IdentitySigner("gateway", callee, key).sign("req-7", "GET", target, principal, now)
        return await self.plain(target, *fields)


@pytest.fixture
async def service() -> AsyncIterator[Asking]:
    readiness = Readiness()
    async with serve_service(SETTINGS, ROUTES, readiness) as server:
        asking = Asking(server, readiness)
        yield asking
        await asking.client.close()


async def test_a_signed_request_is_answered_to_whom_it_names(service: Asking) -> None:
    response = await service.signed("/who?x=1", ALICE)
    assert response.status == 200
    assert response.headers.get("x-request-id") == "req-7"
    assert response.document == {"user": "alice", "address": "203.0.113.9"}


async def test_anonymous_requests_are_signed_too(service: Asking) -> None:
    assert (await service.signed("/who")).document["user"] == ""


async def test_direct_calls_and_calls_meant_for_others_are_refused(service: Asking) -> None:
    for response in (
        await service.plain("/who"),
        await service.plain("/who", ("X-Authenticated-User-ID", "alice")),
        await service.signed("/who", ALICE, callee="other"),
        await service.signed("/who", ALICE, key=OTHER_KEY),
    ):
        assert response.status == 401
        assert response.headers.get("content-type") == "application/problem+json"
        assert response.headers.get("www-authenticate") == 'Bearer realm="plainstack"'


async def test_failures_are_problems(service: Asking) -> None:
    refused = await service.signed("/fail")
    assert refused.status == 409
    assert refused.document["instance"] == "urn:plainstack:request:req-7"
    crashed = await service.signed("/crash")
    assert crashed.status == 500
    assert "secret" not in json.dumps(crashed.document)
    assert (await service.signed("/nowhere")).status == 404


async def test_the_operator_needs_no_signature(service: Asking) -> None:
    assert (await service.plain("/healthz")).status == 200
    assert (await service.plain("/readyz")).status == 200
    assert b"http_requests_total" in (await service.plain("/metrics")).content


async def test_readiness_says_what_is_missing(service: Asking) -> None:
    async def check() -> None:
        raise ConnectionRefusedError("nobody listens")

    service.readiness.require("database", check)
    response = await service.plain("/readyz")
    assert response.status == 503
    assert response.document["failures"] == {"database": "nobody listens"}
    assert response.document["lasting"] == []


def test_settings_come_from_the_environment(tmp_path: Path) -> None:
    values = {
        "PLAINSTACK_HOME": str(tmp_path),
        "PORT_BASE": "9000",
        "PRODUCT_BIND_HOST": "10.0.0.1",
        "DATABASE_URL_PRODUCT": "postgresql://product:hunter2@db/product",
        "IDENTITY_KEY_GATEWAY_PRODUCT": "k1:swordfish",
        "IDENTITY_KEY_ORDER_PRODUCT": "k1:marlin",
        "IDENTITY_KEY_OPERATOR_PRODUCT": "k1:perch",
    }
    settings = ServiceSettings.read(Environment(values), "product")
    assert (settings.name, settings.host, settings.port) == ("product", "10.0.0.1", 9020)
    assert settings.rpc_port == 9025
    assert settings.http_keys["gateway"].value == "k1:swordfish"
    assert settings.rpc_keys["order"].value == "k1:marlin"
    assert "gateway" not in settings.rpc_keys
    assert "hunter2" not in repr(settings)
    assert "swordfish" not in repr(settings)


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    values = {"PLAINSTACK_HOME": str(tmp_path), "DATABASE_URL_PRODUCT": "postgresql://db/product"}
    with pytest.raises(ConfigError, match="IDENTITY_KEY_GATEWAY_PRODUCT"):
        ServiceSettings.read(Environment(values), "product")


def test_a_database_url_that_cannot_be_read_is_named_and_not_shown(tmp_path: Path) -> None:
    values = {"PLAINSTACK_HOME": str(tmp_path), "DATABASE_URL_PRODUCT": "postgresql://u:pa%zz@db/product"}
    with pytest.raises(ConfigError, match="DATABASE_URL_PRODUCT") as refused:
        ServiceSettings.read(Environment(values), "product")
    assert "pa%zz" not in str(refused.value)
