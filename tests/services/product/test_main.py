"""The whole service: real sockets, a real database, signed requests."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from scripts.support.free_ports import free_port_base
from services.product.main import main
from shared.auth.identity import IdentitySigner
from shared.config import Environment, Secret
from shared.context import ANONYMOUS, Principal
from shared.http.client import Client, ClientResponse
from shared.http.messages import Fields
from shared.http.pool import ClientError
from shared.tasks import background

ADMIN = Principal("admin", "session", "token", 2_000_000_000, frozenset({"admin"}), "203.0.113.9")
TEA = {"name": "녹차", "price": {"amount": 9_800, "currency": "KRW"}}
START_SECONDS = 20.0


class Service:
    """Speaks to a running product service as the gateway does."""

    def __init__(self, environment: Environment) -> None:
        self.client = Client()
        self.origin = environment.service_url("product")
        self._signer = IdentitySigner("gateway", "product", environment.identity_key("gateway", "product"))

    async def ask(
        self,
        method: str,
        target: str,
        document: object = None,
        by: Principal = ADMIN,
        *extra: tuple[str, str],
    ) -> tuple[ClientResponse, Any]:
        fields: Fields = [("X-Request-ID", "req-1"), *extra]
        fields += self._signer.sign("req-1", method, target, by, time.time_ns() // 1_000_000)
        body = b"" if document is None else json.dumps(document).encode()
        response = await self.client.request(self.origin, method, target, fields, body)
        content = await response.body.read(1_000_000)
        return response, json.loads(content) if content else None

    async def until_ready(self, status: int = 200) -> dict[str, Any]:
        """What /readyz says once it answers with `status`."""
        async with asyncio.timeout(START_SECONDS):
            while True:
                with suppress(ClientError):
                    response = await self.client.request(self.origin, "GET", "/readyz", [])
                    said: dict[str, Any] = json.loads(await response.body.read(10_000))
                    if response.status == status:
                        return said
                await asyncio.sleep(0.02)  # between looks at a condition


@asynccontextmanager
async def running(database_url: Secret, home: Path) -> AsyncIterator[Service]:
    values = {
        "PLAINSTACK_HOME": str(home),
        "PORT_BASE": str(free_port_base()),
        "DATABASE_URL_PRODUCT": database_url.value,
        "IDENTITY_KEY_GATEWAY_PRODUCT": "k1:" + secrets.token_urlsafe(32),
    }
    environment = Environment(values)
    async with background(main(environment), "product"):
        service = Service(environment)
        yield service
        await service.client.close()


@pytest.fixture
async def service(database_url: Secret, tmp_path: Path) -> AsyncIterator[Service]:
    async with running(database_url, tmp_path) as service:
        await service.until_ready()
        yield service


async def test_a_products_life(service: Service) -> None:
    created, product = await service.ask("POST", "/products", TEA)
    assert created.status == 201
    target = created.headers.get("location") or ""
    got, same = await service.ask("GET", target, None, ANONYMOUS)
    assert (got.status, same, got.headers.get("etag")) == (200, product, '"1"')
    unchanged, nothing = await service.ask("GET", target, None, ANONYMOUS, ("If-None-Match", '"1"'))
    assert (unchanged.status, nothing) == (304, None)
    changed, now = await service.ask("PATCH", target, {"description": "Jeju"}, ADMIN, ("If-Match", '"1"'))
    assert (changed.status, now["version"]) == (200, 2)
    stale, _ = await service.ask("PATCH", target, {"description": "?"}, ADMIN, ("If-Match", '"1"'))
    assert stale.status == 412
    _, page = await service.ask("GET", "/products?q=JEJU", None, ANONYMOUS)
    assert page == {"items": [now], "next": None}
    archived, _ = await service.ask("DELETE", target)
    assert archived.status == 204
    _, last = await service.ask("GET", target)
    assert last["archived"] is True


async def test_head_tells_what_get_would(service: Service) -> None:
    created, _ = await service.ask("POST", "/products", TEA)
    target = created.headers.get("location") or ""
    got, _ = await service.ask("GET", target)
    head, nothing = await service.ask("HEAD", target)
    assert (head.status, nothing) == (200, None)
    assert head.headers.get("etag") == '"1"'
    assert head.headers.get("content-length") == got.headers.get("content-length")


@pytest.mark.races
async def test_many_changes_at_once_are_all_counted(service: Service) -> None:
    created, _ = await service.ask("POST", "/products", TEA)
    target = created.headers.get("location") or ""
    answers = await asyncio.gather(
        *(service.ask("PATCH", target, {"price": {"amount": n, "currency": "KRW"}}) for n in range(1, 21))
    )
    assert sorted(product["version"] for _, product in answers) == list(range(2, 22))


async def test_without_its_database_it_runs_and_says_so(tmp_path: Path) -> None:
    nowhere = Secret("postgresql://product:hunter2@127.0.0.1:1/product")
    async with running(nowhere, tmp_path) as service:
        said = await service.until_ready(503)
        assert "refused" in said["failures"]["database"]
        assert "hunter2" not in json.dumps(said)
        refused, problem = await service.ask("GET", "/products")
        assert (refused.status, problem["status"]) == (503, 503)
        assert refused.headers.get("retry-after") == "1"
