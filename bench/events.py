"""Events from an outbox to the copies in another service, on each transport in the same run.

Real processes, each as `./scripts/up` starts it. Twice per transport:

a burst   thousands of changes are committed at once; how long until the last copy has followed?
one       changes far apart, each alone: how long from its row in the outbox until the consumer has begun its
          transaction? Both times come from one clock, the database server's.
"""

import asyncio
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
from shop.common.v1.money_pb2 import Money
from shop.product.v1.events_pb2 import ProductNameChanged
from shop.product.v1.product_pb2 import Product

from bench.distributions import quantile
from bench.table import milliseconds, table
from shared.config import CHECKOUT
from shared.db.database import Database
from shared.events.outbox import Outbox, Report
from shared.ids import new_id
from tests.e2e.event_storm import use_kafka
from tests.e2e.system import System, procfile_of
from tests.waiting import until

TRANSPORTS = ("redis", "kafka")
PROCESSES = ("postgres", "valkey", "kafka", "product", "order")
SUBJECTS = 1_000  # products, so that each has several changes in a burst
ALONE = 200  # changes
BELL_SECONDS = 0.02  # for the outbox to tell the relay
PATIENCE_SECONDS = 300.0
WARM_UP = 200  # events

PUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
APPLIED = "SELECT count(*) FROM inbox"
WRITTEN_AT = "SELECT event_id, created_at FROM outbox ORDER BY position DESC LIMIT %s"
RECEIVED_AT = "SELECT event_id, received_at FROM inbox WHERE event_id = ANY(%s)"


@dataclass(frozen=True, slots=True)
class Measured:
    """One transport: seconds until a burst was on the bus, and in the copies; delays of lone events."""

    events: int
    published_seconds: float
    applied_seconds: float
    delays: Sequence[float]


def measure_events(count: int) -> int:
    """Prints both transports' figures; exit status."""
    results = {transport: _measure(transport, count) for transport in TRANSPORTS}
    print(f"{count} changes of {min(count, SUBJECTS)} products at once, then {ALONE} alone\n")
    print(_table(results))
    return 0


def _measure(transport: str, count: int) -> Measured:
    with tempfile.TemporaryDirectory() as folder, _system(Path(folder), transport) as system:
        _commit(system, WARM_UP)
        _wait_for(system, "order", APPLIED, WARM_UP)
        _commit(system, count)
        committed = time.monotonic()
        _wait_for(system, "product", PUBLISHED, 0)
        published = time.monotonic()
        _wait_for(system, "order", APPLIED, WARM_UP + count)
        applied = time.monotonic()
        delays = _delays(system, WARM_UP + count)
    return Measured(count, published - committed, applied - committed, delays)


@contextmanager
def _system(folder: Path, transport: str) -> Iterator[System]:
    system = System(folder / "home", procfile_of(PROCESSES, folder))
    if transport == "kafka":
        use_kafka(system)
    try:
        system.start()
        yield system
    finally:
        system.close()


def _commit(system: System, count: int) -> None:
    """So many changes, in one transaction."""
    subjects = [new_id() for _ in range(min(count, SUBJECTS))]
    reports = [_report(subjects[each % len(subjects)], each // len(subjects) + 1) for each in range(count)]
    asyncio.run(_add(system, reports))


async def _add(system: System, reports: Sequence[Report]) -> None:
    migrations = CHECKOUT / "services" / "product" / "migrations"
    async with Database(system.environment.database_url("product"), migrations) as database:
        await database.wait_until_migrated()
        await Outbox(database, "product").add(reports)
        await asyncio.sleep(BELL_SECONDS)


def _report(product_id: UUID, version: int) -> Report:
    product = Product(
        product_id=str(product_id),
        name=f"A product of an ordinary name, version {version}",
        price=Money(amount=24_000, currency="KRW"),
        version=version,
    )
    return Report(str(product_id), ProductNameChanged(product=product, former_name="Another name"))


def _delays(system: System, before: int) -> Sequence[float]:
    """Seconds from the row in the outbox to the transaction in the consumer, of changes that come alone."""
    for number in range(ALONE):
        _commit(system, 1)
        _wait_for(system, "order", APPLIED, before + number + 1)
    with _database(system, "product") as product, _database(system, "order") as order:
        written: dict[UUID, datetime] = dict(product.execute(WRITTEN_AT, [ALONE]).fetchall())
        received: dict[UUID, datetime] = dict(order.execute(RECEIVED_AT, [list(written)]).fetchall())
    return [(received[each] - written[each]).total_seconds() for each in written]


def _wait_for(system: System, service: str, query: str, count: int) -> None:
    with _database(system, service) as connection:
        until(
            lambda: connection.execute(query.encode()).fetchone() == (count,),
            PATIENCE_SECONDS,
            f"{count} in {service}",
            lambda: system.log()[-2_000:],
        )


def _database(system: System, service: str) -> psycopg.Connection:
    return psycopg.connect(system.environment.database_url(service).value, autocommit=True)


def _table(results: Mapping[str, Measured]) -> str:
    heads = ["transport", "published/s", "applied/s", "one: median ms", "one: p99 ms"]
    rows = [
        [
            transport,
            f"{each.events / each.published_seconds:.0f}",
            f"{each.events / each.applied_seconds:.0f}",
            milliseconds(quantile(each.delays, 0.5)),
            milliseconds(quantile(each.delays, 0.99)),
        ]
        for transport, each in results.items()
    ]
    return table(heads, rows)
