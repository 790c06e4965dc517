"""A client of the shop that is answered in the end, however often something dies meanwhile."""

import asyncio
import json
import secrets
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self

from shared.http.client import Client
from shared.http.pool import ClientError
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, System

PAUSE_SECONDS = 0.25
PASSWORD = "correct horse battery staple"
TOO_LATE = 409

Document = Mapping[str, Any]


class Shopper:
    """Whoever has `token`. What is not answered is asked again, under another key: it may happen twice.

    The key of a call whose process has died stays claimed for half a minute, and we are in a hurry.
    """

    def __init__(self, client: Client, origin: str, token: str = "") -> None:
        self._client = client
        self._origin = origin
        self._token = token

    @classmethod
    async def new(cls, client: Client, system: System, name: str, money: int = 0) -> Self:
        """A user, with that much in the wallet."""
        nobody = cls(client, system.url())
        account = {"email": f"{name}@example.com", "password": PASSWORD}
        await nobody.ask("POST", "/auth/signup", {**account, "display_name": name})
        shopper = await nobody._logged_in(account)
        await shopper.deposit(money)
        return shopper

    @classmethod
    async def admin(cls, client: Client, system: System) -> Self:
        """The admin of the system."""
        return await cls(client, system.url())._logged_in({"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})

    async def make_product(self, name: str, on_hand: int) -> str:
        """As an admin: its identifier."""
        made = await self.ask("POST", "/products", {"name": name, "price": _won(100)})
        product_id = str(made["product_id"])
        await self.ask("PUT", f"/inventory/{product_id}", {"on_hand": on_hand})
        return product_id

    async def deposit(self, money: int) -> None:
        """Into the own wallet."""
        if money:
            await self.ask("POST", "/wallet/deposits", _won(money))

    async def user_id(self) -> str:
        """Who this is."""
        return str((await self.ask("GET", "/auth/me"))["user_id"])

    async def order(self, product_id: str) -> str:
        """One piece, without waiting for what becomes of it; the order's identifier."""
        wish = {"items": [{"product_id": product_id, "quantity": 1}]}
        return str((await self.ask("POST", "/orders", wish))["order_id"])

    async def ask(self, method: str, path: str, document: Document | None = None) -> Document:
        """What is answered, once it is neither a failure of ours nor a request for patience."""
        body = b"" if document is None else json.dumps(document).encode()
        while True:
            with suppress(ClientError):
                answer = await self._client.request(self._origin, method, path, self._fields(), body)
                content = b"".join([piece async for piece in answer.body])
                answered: Document = json.loads(content or b"{}")
                if answer.status < 500:
                    assert answer.status < 400 or answer.status == TOO_LATE, (path, answered)
                    return answered
            await asyncio.sleep(PAUSE_SECONDS)

    def _fields(self) -> list[tuple[str, str]]:
        fields = [("Content-Type", "application/json"), ("Idempotency-Key", secrets.token_hex(8))]
        return [*fields, ("Authorization", f"Bearer {self._token}")] if self._token else fields

    async def _logged_in(self, account: Document) -> Self:
        login = await self.ask("POST", "/auth/login", account)
        return type(self)(self._client, self._origin, str(login["access_token"]))


def _won(amount: int) -> Document:
    return {"amount": amount, "currency": "KRW"}
