"""What seldom becomes of an order, because everybody answers within milliseconds: here somebody does not.

Whoever holds a row in a participant's database silences that participant for the orders that need this row,
and for no others.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from scripts.support.postgres import superuser_url
from services.order.clients import reservation_of
from shared.http.client import Client
from shared.tasks import together
from tests.e2e.shopping import Shopper
from tests.e2e.system import System

POLL_SECONDS = 0.2
BUSTLE_SECONDS = 0.5
ORDERS = 3  # held up together: where one dies with its process, others are left
MONEY, STOCK = 100_000_000, 1_000_000

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

_HOLD_WALLET = "SELECT FROM wallets WHERE user_id = %s FOR UPDATE"
_HOLD_STOCK = "SELECT FROM stock WHERE product_id = %s FOR UPDATE"
_GONE = "SELECT count(*) FROM reservations WHERE reservation_id = ANY(%s::uuid[]) AND status <> 'RESERVED'"
_TURNED_BACK = "SELECT count(*) FROM saga_log WHERE order_id = ANY(%s::uuid[]) AND outcome <> 'done'"
_ENDED = "SELECT count(*) FROM sagas WHERE order_id = ANY(%s::uuid[]) AND due_at IS NULL"


@dataclass(frozen=True, slots=True)
class Row:
    """Somebody's silence: a row of a service's database."""

    service: str
    query: str
    key: str


async def hinder(system: System) -> None:
    """Bring all of it about, again and again, until cancelled."""
    client = Client()
    try:
        await _hinder(system, client)
    finally:
        await client.close()


async def _hinder(system: System, client: Client) -> None:
    admin = await Shopper.admin(client, system)
    ada, ben, cem = [await Shopper.new(client, system, name, MONEY) for name in ("ada", "ben", "cem")]
    poor = await Shopper.new(client, system, "poor")
    kettle, pot, shelf = [await admin.make_product(name, STOCK) for name in ("Kettle", "Pot", "Shelf")]
    nothing = await admin.make_product("Nothing", 0)
    wallets = [Row("payment", _HOLD_WALLET, await user.user_id()) for user in (ada, ben)]
    await together(
        _for_ever(lambda: _goods_expire(system, wallets[0], ada, kettle)),
        _for_ever(lambda: _time_out(system, wallets[1], ben, kettle)),
        _for_ever(lambda: _time_out(system, Row("inventory", _HOLD_STOCK, pot), cem, pot)),
        _for_ever(lambda: _bustle(admin, shelf)),
        _for_ever(lambda: _be_refused(poor, kettle)),
        _for_ever(lambda: _be_refused(cem, nothing)),
    )


async def _goods_expire(system: System, wallet: Row, user: Shopper, product_id: str) -> None:
    """Before they are paid for, which they are all the same. One order is called off while it is charged."""
    async with _held(system, wallet):
        orders = [await user.order(product_id) for _ in range(ORDERS)]
        called_off = await user.order(product_id)
        await user.ask("POST", f"/orders/{called_off}/cancel")
        await _all(system, "inventory", _GONE, [reservation_of(UUID(each)) for each in orders])
    await _all(system, "order", _ENDED, [*orders, called_off])


async def _time_out(system: System, row: Row, user: Shopper, product_id: str) -> None:
    """Orders are given up, because a command of theirs stays unanswered for too long."""
    async with _held(system, row):
        orders = [await user.order(product_id) for _ in range(ORDERS)]
        await _all(system, "order", _TURNED_BACK, orders)
    await _all(system, "order", _ENDED, orders)


async def _bustle(admin: Shopper, product_id: str) -> None:
    """What is no order: an event that others take in, a count of the stock, a deposit."""
    name = secrets.token_hex(4)
    await admin.ask("PATCH", f"/products/{product_id}", {"name": name})
    await admin.ask("PUT", f"/inventory/{product_id}", {"on_hand": int(name, 16)})
    await admin.deposit(1)
    await asyncio.sleep(BUSTLE_SECONDS)


async def _be_refused(user: Shopper, product_id: str) -> None:
    await user.order(product_id)
    await asyncio.sleep(BUSTLE_SECONDS)


async def _for_ever(play: Callable[[], Awaitable[None]]) -> None:
    while True:
        await play()


@asynccontextmanager
async def _held(system: System, row: Row) -> AsyncIterator[None]:
    """Nobody else gets the row while the block runs."""
    async with _database(system, row.service) as database, database.transaction():
        await database.execute(row.query.encode(), [row.key])
        yield


async def _all(system: System, service: str, query: str, keys: Sequence[str]) -> None:
    """Return when the query counts as many as there are keys."""
    async with _database(system, service) as database:
        while True:
            found = await database.execute(query.encode(), [list(keys)])
            if await found.fetchone() == (len(keys),):
                return
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def _database(system: System, service: str) -> AsyncIterator[Connection]:
    url = superuser_url(system.environment).value
    async with await psycopg.AsyncConnection.connect(url, dbname=service, autocommit=True) as connection:
        yield connection
