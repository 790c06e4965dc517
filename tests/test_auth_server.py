"""auth_server.py itself, wired by its own main and called over a socket."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import auth_server
from shared.auth import jwt
from shared.auth.identity import IdentitySigner
from shared.auth.jwk import KeySet
from shared.auth.jwks import JWKSCache
from shared.auth.revocation_mirror import RevocationMirror
from shared.auth.revocation_store import SIGNING_KEYS_CHANGED
from shared.auth.settings import TokenSettings
from shared.config import ConfigError, Environment
from shared.context import ANONYMOUS, Principal
from shared.http.client import Client
from shared.http.pool import ClientError
from shared.tasks import background
from tests.engines import Engines
from tests.waiting import eventually

DEADLINE = 15.0
ADMIN = {"ADMIN_EMAIL": "root@example.com", "ADMIN_PASSWORD": "correct horse battery"}
KEY = secrets.token_urlsafe(32)
SIGNER_NAME = "gateway"


class Running:
    """The server, and a gateway's way to it."""

    def __init__(self, environment: Environment, client: Client) -> None:
        self.environment = environment
        self.failures: dict[str, str] = {}  # what /readyz said the last time
        self._origin = environment.service_url("auth")
        self._client = client
        self._signer = IdentitySigner(SIGNER_NAME, "auth", environment.identity_key(SIGNER_NAME, "auth"))

    async def call(
        self, method: str, target: str, body: object = None, principal: Principal = ANONYMOUS
    ) -> tuple[int, Any]:
        request_id = secrets.token_hex(8)
        now_ms = time.time_ns() // 1_000_000
        fields = [("X-Request-ID", request_id)]
        fields += self._signer.sign(request_id, method, target, principal, now_ms)
        octets = b"" if body is None else json.dumps(body).encode()
        response = await self._client.request(self._origin, method, target, fields, octets)
        content = await response.body.read(1_000_000)
        return response.status, json.loads(content) if content else None

    async def fetch_keys(self) -> bytes:
        """What a gateway's JWKSCache is given."""
        return json.dumps((await self.call("GET", "/.well-known/jwks.json"))[1]).encode()

    async def samples(self) -> dict[str, float]:
        """What /metrics says, by name with labels."""
        response = await self._client.request(self._origin, "GET", "/metrics", [])
        lines = (await response.body.read(1_000_000)).decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    async def until_ready(self) -> None:
        await eventually(self._is_ready, DEADLINE)

    async def is_waiting_for_the_operator(self) -> bool:
        try:
            status, document = await self.call("GET", "/readyz")
        except ClientError:
            return False
        self.failures = document.get("failures", {})
        return status == 503 and set(document["lasting"]) == set(self.failures)

    async def _is_ready(self) -> bool:
        try:
            return (await self.call("GET", "/readyz"))[0] == 200
        except ClientError:
            return False


@asynccontextmanager
async def running(engines: Engines, **settings: str) -> AsyncIterator[Running]:
    async with starting(engines, **settings) as server:
        await server.until_ready()
        yield server


@asynccontextmanager
async def starting(engines: Engines, **settings: str) -> AsyncIterator[Running]:
    environment = Environment(
        {
            **engines.settings,
            "DATABASE_URL_AUTH": engines.new_database().value,
            "AUTH_KEY_ENCRYPTION_KEY": secrets.token_urlsafe(32),
            "IDENTITY_KEY_GATEWAY_AUTH": KEY,
            "BCRYPT_COST": "4",
            **settings,
        }
    )
    client = Client()
    async with background(auth_server.main(environment), "auth server"):
        try:
            yield Running(environment, client)
        finally:
            await client.close()


async def test_the_story_of_a_login(engines: Engines) -> None:
    async with running(engines) as server:
        credentials = {"email": "alice@example.com", "password": "correct horse"}
        account = {**credentials, "display_name": "Alice"}
        assert (await server.call("POST", "/auth/signup", account))[0] == 201
        status, tokens = await server.call("POST", "/auth/login", credentials)
        assert status == 200

        settings = TokenSettings.read(server.environment)
        watching: dict[str, Any] = {}
        async with JWKSCache(server.fetch_keys) as keys:
            watching[SIGNING_KEYS_CHANGED] = keys.refresh_soon
            async with RevocationMirror(engines.redis_url, on_change=watching) as revocations:
                await keys.refresh_for(jwt.key_id_of(tokens["access_token"]))
                claims = jwt.verify(
                    tokens["access_token"],
                    keys.keys,
                    now=time.time(),
                    issuer=settings.issuer,
                    audience=settings.audience,
                    algorithms=settings.algorithms,
                )
                status, me = await server.call("GET", "/auth/me", principal=claims.principal)
                assert (status, me["email"]) == (200, "alice@example.com")
                assert not revocations.refuses(claims)
                await eventually(revocations.is_fresh)
                assert (await server.call("POST", "/auth/logout", principal=claims.principal))[0] == 204
                await eventually(lambda: revocations.refuses(claims))


async def test_the_admin_of_the_settings_can_log_in(engines: Engines) -> None:
    async with running(engines, **ADMIN) as server:
        body = {"email": ADMIN["ADMIN_EMAIL"], "password": ADMIN["ADMIN_PASSWORD"]}
        async with asyncio.timeout(DEADLINE):
            while (answer := await server.call("POST", "/auth/login", body))[0] != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        token = answer[1]["access_token"]
        payload = jwt.verify_signature(token, KeySet.from_json(await server.fetch_keys()), ["ES256"])
        assert json.loads(payload)["roles"] == ["admin", "user"]


@pytest.mark.parametrize("password", ["short", "Password", ADMIN["ADMIN_EMAIL"]])
async def test_an_admins_bad_password_is_told_and_waiting_does_not_help(
    engines: Engines, password: str
) -> None:
    async with starting(engines, **ADMIN | {"ADMIN_PASSWORD": password}) as server:
        await eventually(server.is_waiting_for_the_operator, DEADLINE)
        assert list(server.failures) == ["admin"]
        assert server.failures["admin"].startswith("ADMIN_PASSWORD: ")


async def test_an_admin_who_is_there_is_not_asked_for_a_better_password(engines: Engines) -> None:
    database = {"DATABASE_URL_AUTH": engines.new_database().value, "AUTH_KEY_ENCRYPTION_KEY": KEY}
    async with running(engines, **database, **ADMIN):
        pass
    async with running(engines, **database, **ADMIN | {"ADMIN_PASSWORD": "Password"}):
        pass


async def test_another_encryption_key_is_told_and_waiting_does_not_help(engines: Engines) -> None:
    url = {"DATABASE_URL_AUTH": engines.new_database().value}
    async with running(engines, **url):
        pass
    async with starting(engines, **url) as server:
        await eventually(server.is_waiting_for_the_operator, DEADLINE)
        assert list(server.failures) == ["signing keys"]
        told = server.failures["signing keys"]
        assert told.startswith("AUTH_KEY_ENCRYPTION_KEY does not open signing key ")


async def test_another_algorithm_is_published_before_it_signs(engines: Engines) -> None:
    kept = {
        "DATABASE_URL_AUTH": engines.new_database().value,
        "AUTH_KEY_ENCRYPTION_KEY": secrets.token_urlsafe(32),
    }
    async with running(engines, **kept):
        pass
    async with running(engines, **kept, SIGNING_ALGORITHM="RS256") as server:
        credentials = {"email": "bob@example.com", "password": "correct horse"}
        account = {**credentials, "display_name": "Bob"}
        await server.call("POST", "/auth/signup", account)
        _, tokens = await server.call("POST", "/auth/login", credentials)
        keys = KeySet.from_json(await server.fetch_keys())
        assert jwt.verify_signature(tokens["access_token"], keys, ["ES256"])

        async def are_both_published() -> bool:
            published = json.loads(await server.fetch_keys())["keys"]
            return [key["alg"] for key in published] == ["ES256", "RS256"]

        await eventually(are_both_published, DEADLINE)


async def test_an_operator_sees_pool_and_queue(engines: Engines) -> None:
    async with running(engines) as server:
        samples: dict[str, float] = {}

        async def is_at_rest() -> bool:  # its own duties take connections too, for a moment
            samples.update(await server.samples())
            idle, waiting = (samples[f'database_pool{{state="{state}"}}'] for state in ("idle", "waiting"))
            return idle >= 1 and waiting == 0

        await eventually(is_at_rest, DEADLINE)
        assert samples['database_pool{state="in_use"}'] >= 0
        assert samples["bcrypt_queue"] == 0
        assert samples["bcrypt_hashes_running"] == 0


async def test_it_starts_without_its_database_and_says_so(engines: Engines) -> None:
    environment = Environment(
        {
            **engines.settings,
            "DATABASE_URL_AUTH": "postgresql://auth:x@127.0.0.1:1/auth",
            "REDIS_URL": "redis://127.0.0.1:1/0",
            "AUTH_KEY_ENCRYPTION_KEY": secrets.token_urlsafe(32),
            "IDENTITY_KEY_GATEWAY_AUTH": KEY,
        }
    )
    client = Client()
    async with background(auth_server.main(environment), "auth server"):
        server = Running(environment, client)
        async with asyncio.timeout(DEADLINE):
            while True:
                try:
                    status, document = await server.call("GET", "/readyz")
                    break
                except ClientError:
                    await asyncio.sleep(0.02)
        assert status == 503
        assert set(document["failures"]) == {"database", "store", "signing keys"}
        login = {"email": "a@b", "password": "12345678"}
        assert (await server.call("POST", "/auth/login", login))[0] == 503
        assert (await server.call("GET", "/.well-known/jwks.json"))[0] == 503
        assert (await server.call("POST", "/auth/refresh", {"refresh_token": "a.b.c"}))[0] == 503
        await client.close()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("AUTH_KEY_ENCRYPTION_KEY", "short"),
        ("IDENTITY_KEY_GATEWAY_AUTH", "short"),
        ("BCRYPT_COST", "99"),
        ("SIGNING_ALGORITHM", "HS256"),
        ("SIGNING_ALGORITHM", "RS256"),  # which TOKEN_ALGORITHMS, below, does not accept
        ("TOKEN_ALGORITHMS", "none"),
        ("PUBLIC_URL", "shop"),
        ("ACCESS_TOKEN_SECONDS", "-1"),
        ("ADMIN_EMAIL", "nobody"),
        ("ADMIN_PASSWORD", ""),
        ("TOTP_ISSUER", "x" * 65),
        ("TOTP_ISSUER", "Plain\nstack"),
        ("TOTP_ISSUER", "Plain:stack"),
    ],
)
async def test_a_bad_setting_names_its_key(engines: Engines, key: str, value: str) -> None:
    settings = {
        **engines.settings,
        "AUTH_KEY_ENCRYPTION_KEY": secrets.token_urlsafe(32),
        "IDENTITY_KEY_GATEWAY_AUTH": KEY,
        "DATABASE_URL_AUTH": "postgresql://auth:x@127.0.0.1:1/auth",
        "TOKEN_ALGORITHMS": "ES256,EdDSA",
        **ADMIN,
        key: value,
    }
    with pytest.raises(ConfigError, match=key):
        await auth_server.main(Environment(settings))
