"""A resource server: a client with a secret that asks the auth server about tokens."""

import base64
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode

from services.auth.domain.clients import ClientCredentials
from tests.services.auth.conftest import NOBODY, Answer, AuthServer

FORM = ("Content-Type", "application/x-www-form-urlencoded")


def basic(client_id: str, client_secret: str) -> tuple[str, str]:
    """An Authorization field; ids and secrets of ours need no encoding of their own."""
    return "Authorization", "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()


@dataclass
class ResourceServer:
    """It authenticates by HTTP Basic."""

    auth: AuthServer
    credentials: ClientCredentials

    @classmethod
    async def register(cls, auth: AuthServer, name: str = "Warehouse") -> Self:
        return cls(auth, await auth.services.clients.add(name))

    async def introspect(self, token: str, **more: str) -> Answer:
        return await self.post("/auth/introspect", urlencode({"token": token, **more}))

    async def revoke(self, token: str, **more: str) -> Answer:
        return await self.post("/auth/revoke", urlencode({"token": token, **more}))

    async def is_active(self, token: str) -> bool:
        """Asks, and checks that of a token that is not active nothing else is said."""
        answer = await self.introspect(token)
        assert (answer.status, answer.headers.get("cache-control")) == (200, "no-store")
        assert answer.document["active"] or answer.document == {"active": False}
        return bool(answer.document["active"])

    async def post(self, target: str, form: str) -> Answer:
        own = basic(self.credentials.client_id, self.credentials.client_secret)
        return await self.auth.call("POST", target, form.encode(), NOBODY, FORM, own)
