"""A whole service: its main, real sockets, signed requests. The database is the test's."""

import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from scripts.support.free_ports import free_port_base
from shared.auth.identity import IdentitySigner
from shared.callers import GATEWAY, OPERATOR, callers
from shared.config import Environment, Secret, identity_key_setting
from shared.context import Principal
from shared.http.client import Client, ClientResponse
from shared.http.messages import Fields
from shared.http.pool import ClientError
from shared.rpc.channel import Channel
from shared.tasks import background

START_SECONDS = 20.0
NO_BUS = "redis://127.0.0.1:1"  # where nobody listens: a service does without, unless a test is about events
ADMIN = Principal(
    "018cc251-f400-7000-8000-0000000000ad",
    "session",
    "token",
    2_000_000_000,
    frozenset({"admin"}),
    "203.0.113.9",
)


class RunningService:
    """Speaks to a running service as the gateway does."""

    def __init__(self, name: str, environment: Environment) -> None:
        self.name = name
        self.environment = environment
        self.client = Client()
        self.origin = environment.service_url(name)
        self._signer = IdentitySigner(GATEWAY, name, environment.identity_key(GATEWAY, name))

    async def ask(
        self,
        method: str,
        target: str,
        document: object = None,
        by: Principal = ADMIN,
        *extra: tuple[str, str],
    ) -> tuple[ClientResponse, Any]:
        """The response and its document, to a request of `by` (an admin)."""
        fields: Fields = [("X-Request-ID", "req-1"), *extra]
        fields += self._signer.sign("req-1", method, target, by, time.time_ns() // 1_000_000)
        body = b"" if document is None else json.dumps(document).encode()
        response = await self.client.request(self.origin, method, target, fields, body)
        content = await response.body.read(1_000_000)
        return response, json.loads(content) if content else None

    def channel(self, caller: str = OPERATOR) -> Channel:
        """The way over gRPC for `caller`."""
        return Channel.read(self.environment, caller, self.name)

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
async def running(
    name: str,
    main: Callable[[Environment], Coroutine[Any, Any, None]],
    database_url: Secret,
    home: Path,
    **settings: str,
) -> AsyncIterator[RunningService]:
    """The service `name` while the block runs; it need not be ready yet."""
    keys = {identity_key_setting(caller, name): "k1:" + secrets.token_urlsafe(32) for caller in callers(name)}
    values = {
        "PLAINSTACK_HOME": str(home),
        "PORT_BASE": str(free_port_base()),
        f"DATABASE_URL_{name.upper()}": database_url.value,
        "EVENTS_URL": NO_BUS,
        **keys,
        **settings,
    }
    environment = Environment(values)
    async with background(main(environment), name):
        service = RunningService(name, environment)
        try:
            yield service
        finally:
            await service.client.close()
