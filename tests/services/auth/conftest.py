"""The auth server without sockets, on a real database and a real store."""

import base64
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from auth_server import routes
from services.auth.revocations import RevocationSpreader
from services.auth.settings import AuthSettings
from services.auth.wiring import MIGRATIONS, AuthServices, opened_services
from shared.auth import jwt
from shared.auth.identity import IdentitySigner
from shared.auth.jwk import ALGORITHMS
from shared.auth.jwt import Claims
from shared.auth.revocation_store import RevocationStore
from shared.auth.settings import TokenSettings
from shared.config import Environment, Secret
from shared.context import Principal
from shared.db.database import Database
from shared.http.messages import Handler, Headers, Request
from shared.runtime import Readiness
from shared.service import ServiceSettings, service_handler
from tests.engines import Engines

TOKENS = TokenSettings("https://shop.example", "https://shop.example", ALGORITHMS)
IDENTITY_KEY = Secret(secrets.token_urlsafe(32))
ENCRYPTION_KEY = os.urandom(32)
PASSWORD = "correct horse battery"
NOBODY = Principal(client_address="203.0.113.7")


@dataclass(frozen=True)
class Answer:
    """A response as a client sees it."""

    status: int
    headers: Headers
    document: dict[str, Any] = field(default_factory=dict)


def problem(answer: Answer) -> str:
    """The code of a well-formed problem."""
    assert answer.headers.get("content-type") == "application/problem+json"
    assert answer.headers.get("x-request-id")
    return str(answer.document["type"]).rpartition(":")[2]


class SmallBody:
    """A request's body that is there already."""

    def __init__(self, octets: bytes) -> None:
        self._octets = octets
        self.length: int | None = len(octets)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._octets

    async def read(self, limit: int) -> bytes:
        return self._octets


@dataclass
class AuthServer:
    """One auth server and a gateway that signs for its callers."""

    handler: Handler
    database: Database
    store: RevocationStore
    services: AuthServices
    revocations: RevocationSpreader

    async def call(
        self,
        method: str,
        target: str,
        body: object = None,
        principal: Principal = NOBODY,
        *more: tuple[str, str],
    ) -> Answer:
        """What the gateway would get. `body` is sent as JSON, or as it is if it is octets."""
        request_id = secrets.token_hex(8)
        signer = IdentitySigner("gateway", "auth", IDENTITY_KEY)
        identity = signer.sign(request_id, method, target, principal, time.time_ns() // 1_000_000)
        fields = [("X-Request-ID", request_id), ("User-Agent", "test/1"), *more, *identity]
        octets = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = await self.handler(Request(method, target, Headers(fields), SmallBody(octets)))
        assert isinstance(response.body, bytes)
        document = json.loads(response.body) if response.body else {}
        return Answer(response.status, Headers(response.headers), document)

    async def sign_up(self, email: str = "alice@example.com", password: str = PASSWORD) -> Answer:
        body = {"email": email, "password": password, "display_name": "Alice"}
        return await self.call("POST", "/auth/signup", body)

    async def log_in(self, email: str = "alice@example.com", password: str = PASSWORD) -> Answer:
        return await self.call("POST", "/auth/login", {"email": email, "password": password})

    async def refresh(self, refresh_token: str) -> Answer:
        return await self.call("POST", "/auth/refresh", {"refresh_token": refresh_token})

    async def log_out(self, principal: Principal, scope: str | None = None) -> Answer:
        body = None if scope is None else {"scope": scope}
        return await self.call("POST", "/auth/logout", body, principal)

    def claims(self, answer: Answer) -> Claims:
        """What the access token of a login says, once it is verified like a gateway does."""
        return jwt.verify(
            answer.document["access_token"],
            self.services.key_ring.published,
            now=time.time(),
            issuer=TOKENS.issuer,
            audience=TOKENS.audience,
            algorithms=ALGORITHMS,
        )

    async def query(self, query: str) -> list[tuple[Any, ...]]:
        """What `psql` would show."""
        async with self.database.connection() as connection:
            return await (await connection.execute(query.encode())).fetchall()

    async def execute(self, statement: str) -> None:
        """Change something behind the server's back."""
        async with self.database.connection() as connection:
            await connection.execute(statement.encode())


@asynccontextmanager
async def auth_server(
    database_url: Secret,
    redis_url: Secret,
    **values: str,
) -> AsyncIterator[AuthServer]:
    """An auth server whose background tasks do not run; `values` are settings."""
    settings = AuthSettings.read(
        Environment(
            {
                "PUBLIC_URL": TOKENS.issuer,
                "REDIS_URL": redis_url.value,
                "AUTH_KEY_ENCRYPTION_KEY": encryption_key_text(),
                "BCRYPT_COST": "4",
                **values,
            }
        )
    )
    async with (
        Database(database_url, MIGRATIONS) as database,
        opened_services(database, settings) as services,
    ):
        await database.wait_until_migrated()
        await services.key_supply.ensure()
        service = ServiceSettings("auth", "127.0.0.1", 0, database_url, 0, {"gateway": IDENTITY_KEY}, {})
        handler = service_handler(service, routes(services), Readiness())
        ground = services.ground
        yield AuthServer(handler, database, ground.store, services, ground.spreader)


@pytest.fixture
async def auth(engines: Engines, database_url: Secret) -> AsyncIterator[AuthServer]:
    """An auth server on a fresh database."""
    async with auth_server(database_url, engines.redis_url) as server:
        yield server


def encryption_key_text() -> str:
    return base64.urlsafe_b64encode(ENCRYPTION_KEY).decode()
