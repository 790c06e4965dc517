"""Goods, stock and money of the load's own: nobody else touches them, so in the end they can be counted.

There is plenty of most goods, and plenty of money in most wallets. What is fought for: shelves with a few
pieces for more clients than pieces, and one wallet with money for a few orders only.
"""

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from scripts.support.load.patient_client import PatientClient
from scripts.support.load.users import CREATED, OK, User, expected, sign_up

GOODS = 10
PLENTY = 1_000_000_000  # pieces, and whole units of money
PRICE = 1_000
POOR_ORDERS = 2  # that the one wallet pays for, of one piece each
SHELF_PIECES, SHELF_CLIENTS = 3, 6


@dataclass
class Shop:
    """What there is to buy, and who buys. `stock` and `money` are what has been put in."""

    admin: User
    currency: str
    users: tuple[User, ...]
    poor: User
    goods: tuple[str, ...] = ()
    stock: dict[str, int] = field(default_factory=dict)
    money: dict[User, int] = field(default_factory=dict)
    _opening: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _shelf: str = field(default="", init=False)
    _shelf_clients: int = field(default=0, init=False)

    async def deliver(self, pieces: int) -> str:
        """A new product with so many pieces. Raises GaveUp, Refused."""
        document = {"name": "Load", "description": "", "price": self.price(1)}
        made = expected(CREATED, await self.admin.ask("POST", "/products", document), "a product")
        product_id = str(made.document["product_id"])
        count = {"on_hand": pieces}
        expected(OK, await self.admin.ask("PUT", f"/inventory/{product_id}", count), "stock")
        self.stock[product_id] = pieces
        return product_id

    async def deposit(self, user: User, amount: int) -> None:
        """Raises GaveUp, Refused."""
        key = {"Idempotency-Key": secrets.token_hex(16)}
        document = {"amount": amount, "currency": self.currency}
        expected(CREATED, await user.ask("POST", "/wallet/deposits", document, key), "a deposit")
        self.money[user] = self.money.get(user, 0) + amount

    async def scarce(self) -> str:
        """A product that others fight for at this moment: a new one for every few clients."""
        async with self._opening:
            if self._shelf_clients % SHELF_CLIENTS == 0:
                self._shelf = await self.deliver(SHELF_PIECES)
            self._shelf_clients += 1
            return self._shelf

    def price(self, pieces: int) -> Mapping[str, object]:
        """What so many cost, of whatever product."""
        return {"amount": PRICE * pieces, "currency": self.currency}


async def open_shop(client: PatientClient, admin: User, currency: str, users: int) -> Shop:
    """With so many users beside the poor one. Raises GaveUp, Refused."""
    poor, *rich = await asyncio.gather(*(sign_up(client) for _ in range(users + 1)))
    shop = Shop(admin, currency, tuple(rich), poor)
    shop.goods = tuple(await asyncio.gather(*(shop.deliver(PLENTY) for _ in range(GOODS))))
    await asyncio.gather(*(shop.deposit(user, PLENTY) for user in rich))
    await shop.deposit(poor, POOR_ORDERS * PRICE)
    return shop
