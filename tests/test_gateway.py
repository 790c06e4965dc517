"""gateway.py's own part: in which order a request meets the gateway's duties."""

import io
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt as pyjwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

import gateway
from shared.auth.jwks import JWKS_PATH
from shared.auth.revocation_list import Revocation
from shared.auth.revocation_store import RevocationStore
from shared.config import Environment
from shared.http.client import Client
from shared.http.messages import Headers, Request, Response
from shared.http.server import serve
from shared.middleware import access_log
from shared.middleware.authenticate import AccessTokens
from shared.observability.logs import Lines
from shared.proxy.config import GatewayConfig, read_config
from shared.proxy.upstreams import Upstream
from shared.runtime import Readiness
from tests.shared.auth.valkey import Valkey
from tests.shared.http.raw import RawClient, connected
from tests.waiting import eventually

PUBLIC = """
[upstream.any]
targets = ["${AUTH_URL}"]
[upstream.broken]
targets = ["${AUTH_URL}"]

[[route]]
prefix = "/public"
upstream = "any"
auth = "none"

[[route]]
prefix = "/broken"
upstream = "broken"
auth = "none"

[[route]]
prefix = "/letters"
upstream = "any"
auth = "none"
body_limit = 5
buffer_body = true
"""
GUARDED = """
[[route]]
prefix = "/members"
upstream = "any"
roles = ["admin"]
body_limit = 5
buffer_body = true
"""
ISSUER = "https://shop.example"
KEY = ec.generate_private_key(ec.SECP256R1())
BAD_TOKEN = ("Authorization", "Bearer x.y.z")


def bearer(*roles: str) -> tuple[str, str]:
    """The field with a good token."""
    now = int(time.time())
    claims = {
        **{"iss": ISSUER, "aud": ISSUER, "sub": "u-1", "sid": "s-1", "jti": "t-1", "client_id": "web"},
        **{"iat": now, "nbf": now, "exp": now + 600, "roles": roles},
    }
    return "Authorization", "Bearer " + pyjwt.encode(claims, KEY, "ES256", {"kid": "k1", "typ": "at+jwt"})


class Behind:
    """All that is behind the gateway: it publishes the keys, and echoes what else it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Headers]] = []

    async def __call__(self, request: Request) -> Response:
        if request.path == JWKS_PATH:
            public = {**json.loads(ECAlgorithm.to_jwk(KEY.public_key())), "kid": "k1"}
            return Response(200, [], json.dumps({"keys": [public]}).encode())
        self.asked.append((request.path, request.headers))
        return Response(200, [], await request.body.read(1000))


class Running:
    """The gateway's public port, what is behind it, and its access log."""

    def __init__(self, port: int, behind: Behind, client: Client, output: io.StringIO, lines: Lines) -> None:
        self.port = port
        self.behind = behind
        self._client = client
        self._output = output
        self._lines = lines

    async def ask(
        self, target: str, *fields: tuple[str, str], body: bytes = b""
    ) -> tuple[int, Headers, bytes]:
        answer = await self._client.request(
            f"http://127.0.0.1:{self.port}", "POST", target, list(fields), body
        )
        return answer.status, answer.headers, await answer.body.read(10_000)

    def log(self) -> list[dict[str, Any]]:
        self._lines.flush()
        return [json.loads(line) for line in self._output.getvalue().splitlines()]


@pytest.fixture
async def public(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A gateway with public routes only: no key, no store."""
    async with running(tmp_path, PUBLIC, {}, monkeypatch) as made:
        yield made


@pytest.fixture
async def guarded(tmp_path: Path, valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """A gateway that checks tokens."""
    settings = {
        "REDIS_URL": valkey.url.value,
        "IDENTITY_KEY_GATEWAY_AUTH": "k1:" + "A" * 43,
        "PUBLIC_URL": ISSUER,
    }
    async with RevocationStore(valkey.url) as store:
        await store.restore(nothing)
    async with running(tmp_path, PUBLIC + GUARDED, settings, monkeypatch) as made:
        yield made


async def nothing() -> list[Revocation]:
    return []


@asynccontextmanager
async def running(
    folder: Path, routes: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Running]:
    output = io.StringIO()
    lines = Lines(output)
    monkeypatch.setattr(access_log, "lines", lines)
    behind, client = Behind(), Client()
    async with serve(behind, "127.0.0.1", 0) as server:
        environment = Environment({**settings, "AUTH_URL": f"http://127.0.0.1:{server.port}"})
        config = _config(folder, routes, environment)
        upstreams = {name: Upstream(name, each.origins) for name, each in config.upstreams.items()}
        upstreams["broken"] = Upstream("broken", ["http://127.0.0.1:99999"])  # which no config lets through
        async with _tokens(config, environment) as tokens:
            handler = gateway.pipeline(config, environment, client, upstreams, tokens)
            async with serve(handler, "127.0.0.1", 0, cancel_on_disconnect=True) as entry:
                yield Running(entry.port, behind, client, output, lines)
    await client.close()


def _config(folder: Path, routes: str, environment: Environment) -> GatewayConfig:
    file = folder / "gateway.toml"
    file.write_text(routes)
    return read_config(file, environment)


@asynccontextmanager
async def _tokens(config: GatewayConfig, environment: Environment) -> AsyncIterator[AccessTokens | None]:
    if not config.checks_tokens:
        yield None
        return
    readiness = Readiness()

    async def is_ready() -> bool:
        return not await readiness.failures()

    async with gateway.access_tokens(environment, readiness) as tokens:
        await eventually(is_ready)
        yield tokens


# The order


async def test_the_first_duty_that_is_not_met_answers(guarded: Running) -> None:
    """Each step passes what the one before refused, and fails all later ones."""
    for target, body, field, status in (
        ("/nowhere", b"too long", BAD_TOKEN, 404),
        ("/members", b"too long", BAD_TOKEN, 413),
        ("/members", b"short", BAD_TOKEN, 401),
        ("/members", b"short", bearer("customer"), 403),
    ):
        assert (await guarded.ask(target, field, body=body))[0] == status
    assert guarded.behind.asked == []
    status, _, content = await guarded.ask("/members", bearer("admin"), body=b"short")
    assert (status, content) == (200, b"short")


async def test_a_public_route_reads_no_token(guarded: Running) -> None:
    assert (await guarded.ask("/public", BAD_TOKEN))[0] == 200
    ((_, headers),) = guarded.behind.asked
    assert headers.get("authorization") == "Bearer x.y.z"


async def test_public_routes_need_nothing_to_check_tokens_with(public: Running) -> None:
    assert (await public.ask("/public", BAD_TOKEN))[0] == 200


async def test_a_guarded_route_without_anything_to_check_tokens_with_is_no_gateway(tmp_path: Path) -> None:
    environment = Environment({})
    config = _config(tmp_path, PUBLIC + GUARDED, environment)
    upstreams = {name: Upstream(name, each.origins) for name, each in config.upstreams.items()}
    with pytest.raises(ValueError, match="/members"):
        gateway.pipeline(config, environment, Client(), upstreams, None)


# What every request leaves behind


@pytest.mark.parametrize(
    ("target", "status", "route", "level"),
    [
        ("/public/x", 200, "/public", "info"),
        ("/nowhere", 404, "(none)", "info"),
        ("/broken", 500, "/broken", "error"),
    ],
)
async def test_every_request_has_a_line_and_an_id(
    public: Running, target: str, status: int, route: str, level: str
) -> None:
    answered, headers, _ = await public.ask(target, ("X-Request-ID", "mine"))
    assert (answered, headers.get("x-request-id")) == (status, "mine")
    (line,) = public.log()
    assert line["request_id"] == "mine"
    assert (line["path"], line["status"], line["route"], line["level"]) == (target, status, route, level)


async def test_an_unexpected_failure_is_told_to_the_log_alone(
    public: Running, caplog: pytest.LogCaptureFixture
) -> None:
    _, headers, content = await public.ask("/broken")
    problem = json.loads(content)
    assert headers.get("content-type") == "application/problem+json"
    assert problem["instance"] == f"urn:plainstack:request:{headers.get('x-request-id')}"
    assert problem["detail"] == "Something went wrong on our side."
    (record,) = [each for each in caplog.records if each.message == "unexpected failure"]
    assert record.exc_info


# Reading the body first


def post(target: str, *fields: str) -> bytes:
    lines = [f"POST {target} HTTP/1.1", "Host: a", "Content-Length: 5", *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


async def status_of(client: RawClient) -> int:
    return int((await client.read_head()).split()[1])


async def test_an_upstream_is_not_asked_before_the_body_is_there(public: Running) -> None:
    async with connected(public.port) as slow:
        slow.send(post("/letters/slow") + b"he")
        assert (await public.ask("/letters/quick", body=b"12345"))[0] == 200
        slow.send(b"llo")
        assert await status_of(slow) == 200
        assert await slow.read_exactly(5) == b"hello"
    assert [path for path, _ in public.behind.asked] == ["/letters/quick", "/letters/slow"]


async def test_who_may_not_enter_is_told_before_the_body_is_there(guarded: Running) -> None:
    for field, status in ((BAD_TOKEN, 401), (bearer("customer"), 403)):
        async with connected(guarded.port) as client:
            client.send(post("/members", ": ".join(field)))
            assert await status_of(client) == status
