"""Orders from the request to the end of their saga: how long one takes, how many a second, what they cost.

Every order is placed with `Prefer: wait`, and confirmed: the longest way that an order takes. Each database
that takes part waits for its disk as often as something must not be forgotten:

order      that the order was placed; that it was charged, for from then on it cannot be cancelled; its end
inventory  that goods were set aside; that they have left
payment    that the total was taken

Claims, pauses, and what has been published already are committed, too, but may be forgotten: a crash of the
server only has them done again.
"""

import asyncio
import itertools
import secrets
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.distributions import quantile
from bench.flushes import Flushes, count_flushes, sync_seconds
from bench.table import milliseconds, table
from bench.whole_system import whole_system
from scripts.support.accounts import Account
from scripts.support.load.patient_client import PatientClient
from scripts.support.load.shop import Shop, open_shop
from scripts.support.load.users import CREATED, User, expected
from shared.tasks import together
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, CORE, System

PROCESSES = (*CORE, "inventory", "payment", "order")
LEVELS = (1, 8, 32)  # clients
WARM_UP = 50  # orders
USERS = 32  # one each: nobody waits for another's wallet
PATIENCE_SECONDS = 30.0
BY_DESIGN = {"order": 4, "inventory": 2, "payment": 1}


@dataclass(frozen=True, slots=True)
class Measured:
    """So many clients: the seconds of each order and of all together, and the flushes meanwhile."""

    clients: int
    durations: Sequence[float]
    seconds: float
    flushes: Flushes


def measure_orders(count: int) -> int:
    """Prints the tables; exit status."""
    with tempfile.TemporaryDirectory() as folder:
        sync = sync_seconds(Path(folder))
        with whole_system(Path(folder) / "home", CHEAP_PASSWORDS, PROCESSES) as system:
            results = asyncio.run(_measure(system, count))
    print(f"{count} orders by each number of clients, all confirmed\n")
    print(_level_table(results))
    print(
        f"\nFlushes an order, by {results[0].clients} client; a plain fdatasync takes {sync * 1000:.2f} ms\n"
    )
    print(_flush_table(results[0].flushes, count))
    return 0


async def _measure(system: System, count: int) -> Sequence[Measured]:
    client = PatientClient(system.url(), max(LEVELS), PATIENCE_SECONDS)
    admin = User(client, Account(ADMIN_EMAIL, ADMIN_PASSWORD))
    try:
        shop = await open_shop(client, admin, "KRW", USERS)
        await _order(shop, max(LEVELS), WARM_UP)
        return await _climb(system, shop, count)
    finally:
        await client.close()


async def _climb(system: System, shop: Shop, count: int) -> Sequence[Measured]:
    """From one client to many."""
    results, before = list[Measured](), await asyncio.to_thread(count_flushes, system)
    for clients in LEVELS:
        began = time.perf_counter()
        durations = await _order(shop, clients, count)
        seconds = time.perf_counter() - began
        after = await asyncio.to_thread(count_flushes, system)
        results.append(Measured(clients, durations, seconds, after.since(before)))
        before = after
    return results


async def _order(shop: Shop, clients: int, count: int) -> Sequence[float]:
    """The seconds that each of `count` orders takes; so many clients place the next at the same time."""
    durations, numbers = list[float](), iter(range(count))

    async def shop_on(user: User) -> None:
        for number in numbers:
            durations.append(await _order_once(user, shop.goods[number % len(shop.goods)]))

    await together(*(shop_on(user) for user in itertools.islice(shop.users, clients)))
    return durations


async def _order_once(user: User, product_id: str) -> float:
    headers = {"Idempotency-Key": secrets.token_hex(16), "Prefer": "wait=10"}
    wish = {"items": [{"product_id": product_id, "quantity": 1}]}
    began = time.perf_counter()
    answer = expected(CREATED, await user.ask("POST", "/orders", wish, headers), "an order")
    if answer.document["status"] != "CONFIRMED":
        raise RuntimeError(f"an order is {answer.document['status']}, {answer.document['reason']}")
    return time.perf_counter() - began


def _level_table(results: Sequence[Measured]) -> str:
    heads = ["clients", "orders/s", "median ms", "p99 ms", "flushes/order"]
    return table(heads, map(_level_row, results))


def _level_row(each: Measured) -> list[str]:
    count = len(each.durations)
    times = [milliseconds(quantile(each.durations, share)) for share in (0.5, 0.99)]
    return [
        str(each.clients),
        f"{count / each.seconds:.1f}",
        *times,
        f"{each.flushes.waited_for / count:.2f}",
    ]


def _flush_table(flushes: Flushes, count: int) -> str:
    others = sum(each for name, each in flushes.by_database.items() if name not in BY_DESIGN)
    rows = [_flush_row(name, number, flushes.by_database[name], count) for name, number in BY_DESIGN.items()]
    rows += [_flush_row("others", 0, others, count)]
    rows += [["background", "", f"{flushes.background / count:.2f}"]]
    return table(["database", "by design", "measured"], rows)


def _flush_row(name: str, by_design: int, measured: int, count: int) -> list[str]:
    return [name, str(by_design), f"{measured / count:.2f}"]
