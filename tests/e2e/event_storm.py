"""Renames without end while processes die, and what must be true when all is quiet again.

`./scripts/test tests/e2e/test_events.py` has a short one. A long one, by hand:

    .venv/bin/python -m tests.e2e.event_storm --changes 10000 --kills 60 [--kafka] [--seed N]
"""

import argparse
import http.client
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from scripts.support.parts import embedded_kafka_url
from scripts.support.postgres import superuser_url
from shared.config import Environment
from tests.e2e.replicas import replicas
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, System, procfile_of
from tests.waiting import until

PROCESSES = ("postgres", "valkey", "kafka", "auth", "product", "inventory", "order", "gateway")
REPLICATED = ("product", "inventory", "order")
CLIENTS = 4
CREATED, CHANGED = 201, 200
QUIET_SECONDS = 120.0  # a Kafka that was killed takes its time, and so do members it has not missed yet
LONE_ATTEMPTS = 2_000  # of one change, a twentieth of a second apart

# What the copies have been through: each time that one became different.
WITNESS = """
    CREATE TABLE effects (number bigserial PRIMARY KEY, product_id uuid, version bigint);
    CREATE FUNCTION witness() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        INSERT INTO public.effects (product_id, version) VALUES (NEW.product_id, NEW.version);
        RETURN NULL;
    END $$;
    CREATE TRIGGER witness AFTER INSERT OR UPDATE ON articles FOR EACH ROW EXECUTE FUNCTION witness();"""
TWICE = "SELECT count(*) FROM (SELECT FROM effects GROUP BY product_id, version HAVING count(*) > 1) AS twice"
BACKWARDS = """
    SELECT count(*) FROM (
        SELECT version <= lag(version) OVER (PARTITION BY product_id ORDER BY number) AS backwards
        FROM effects
    ) AS steps WHERE backwards"""
COPIES = "SELECT product_id, name, version FROM articles ORDER BY product_id"
SOURCES = "SELECT product_id, name, version FROM products ORDER BY product_id"
EVENTS = "SELECT event_id FROM outbox"
TAKEN = "SELECT event_id FROM inbox WHERE consumer = 'order'"
PARKED = "SELECT count(*) FROM dead_letters"


@dataclass(frozen=True)
class Storm:
    """How hard it blows: so many renames at least, and so many deaths, whichever takes longer."""

    changes: int
    kills: int
    products: int = 40
    victims: Sequence[str] = ("product.1", "order.1", "inventory.1", "valkey-server", "postgres-server")
    seconds_between: float = 3.0  # time to start again: a process that dies at once is left alone for longer
    seed: int = 0


@dataclass
class Toll:
    """What has happened."""

    changes: int = 0
    kills: list[str] = field(default_factory=list)
    seconds: float = 0.0
    quiet_after: float = 0.0
    events: int = 0
    not_taken: int = 0
    different: int = 0
    twice: int = 0
    backwards: int = 0
    parked: int = 0

    def __str__(self) -> str:
        counted = ", ".join(f"{self.kills.count(name)} {name}" for name in sorted(set(self.kills)))
        return (
            f"{self.changes} changes in {self.seconds:.0f} s; killed: {counted or 'nobody'}; "
            f"quiet {self.quiet_after:.1f} s later; {self.events} events, {self.not_taken} not taken in; "
            f"copies: {self.different} different, {self.twice} effects twice, {self.backwards} backwards; "
            f"{self.parked} dead letters"
        )


def use_kafka(system: System) -> None:
    """The system's bus is a Kafka of its own."""
    system.variables["EVENTS_URL"] = embedded_kafka_url(system.environment)
    system.environment = Environment(system.variables)


def blow(system: System, storm: Storm) -> Toll:
    """Have it, wait until all is quiet, and look."""
    witness(system)
    toll, started = Toll(), time.monotonic()
    admin = _Admin(system)
    products = [admin.create(f"Product {number}") for number in range(storm.products)]
    with ThreadPoolExecutor(1) as executioner, ThreadPoolExecutor(CLIENTS) as clients:
        killing = executioner.submit(_kill, system, storm)
        shares = [products[number::CLIENTS] for number in range(CLIENTS)]
        toll.changes = sum(clients.map(lambda share: _rename(admin, share, storm, killing), shares))
        toll.kills = killing.result()
    toll.seconds = time.monotonic() - started
    system.wait_until_ready()
    toll.quiet_after = wait_for_quiet(system)
    look(system, toll)
    return toll


def witness(system: System) -> None:
    """From now on the order service's database knows every effect."""
    with database(system, "order") as order:
        if order.execute("SELECT to_regclass('effects')").fetchone() == (None,):
            order.execute(WITNESS)


def wait_for_quiet(system: System) -> float:
    """Until order has taken in all that product has reported; the seconds that took."""
    started = time.monotonic()
    until(lambda: not _missing(system), QUIET_SECONDS, "all events taken in", lambda: _tail(system))
    return time.monotonic() - started


def look(system: System, toll: Toll) -> None:
    """Compare every copy with its source, and count what was done twice."""
    with database(system, "product") as product, database(system, "order") as order:
        sources = product.execute(SOURCES).fetchall()
        copies = order.execute(COPIES).fetchall()
        toll.different = len(set(sources) ^ set(copies))
        toll.events = len(product.execute(EVENTS).fetchall())
        toll.twice, toll.backwards, toll.parked = (
            _count(order, query) for query in (TWICE, BACKWARDS, PARKED)
        )
    toll.not_taken = len(_missing(system))


class _Admin:
    """Changes the catalogue, however often the answer is none."""

    def __init__(self, system: System) -> None:
        self._client = system.client()
        answer = self._client.post("/auth/login", {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD})
        self._token = str(answer.json["access_token"])

    def create(self, name: str) -> str:
        document = {"name": name, "price": {"amount": 1_000, "currency": "KRW"}}
        return str(self._ask("POST", "/products", document, CREATED)["product_id"])

    def rename(self, product_id: str, name: str) -> None:
        self._ask("PATCH", f"/products/{product_id}", {"name": name}, CHANGED)

    def _ask(self, method: str, path: str, document: object, status: int) -> dict[str, object]:
        """A rename that had its effect and lost its answer is asked again, and changes nothing."""
        for _ in range(LONE_ATTEMPTS):
            with suppress(OSError, http.client.HTTPException):
                answer = self._client.request(method, path, json_body=document, token=self._token)
                if answer.status == status:
                    return dict(answer.json)
                assert answer.status >= 500, (answer.status, answer.body)
            time.sleep(0.05)
        raise AssertionError(f"{method} {path} has had no answer")


def _rename(admin: _Admin, products: Sequence[str], storm: Storm, killing: Future[list[str]]) -> int:
    count = 0
    while count < storm.changes // CLIENTS or not killing.done():
        admin.rename(products[count % len(products)], f"Name {count} of {storm.seed}")
        count += 1
    return count


def _kill(system: System, storm: Storm) -> list[str]:
    """Each victim in turn, in an order of chance; who is not there has been killed enough for now."""
    chance, turn, killed = random.Random(storm.seed), list[str](), list[str]()
    while len(killed) < storm.kills:
        time.sleep(storm.seconds_between)
        turn = turn or chance.sample(storm.victims, len(storm.victims))
        name = turn.pop()
        if (victim := system.records.read(name)) is not None:
            with suppress(ProcessLookupError):
                os.kill(victim.pid, signal.SIGKILL)
                killed.append(name)
    return killed


def _missing(system: System) -> set[object]:
    """The events of product that order has not taken in."""
    with database(system, "product") as product, database(system, "order") as order:
        events = {event_id for (event_id,) in product.execute(EVENTS)}
        kinds = {event_id for (event_id,) in order.execute(TAKEN)}
        parked = {letter_id for (letter_id,) in order.execute("SELECT letter_id FROM dead_letters")}
        return events - kinds - parked


def database(system: System, name: str) -> psycopg.Connection:
    """A connection to a service's database as the superuser, in autocommit mode."""
    url = superuser_url(system.environment).value
    return psycopg.connect(url, dbname=name, autocommit=True)


def _count(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


def _tail(system: System) -> str:
    return system.log()[-4_000:]


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--kafka", action="store_true")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        system = System(Path(folder) / "home", {**CHEAP_PASSWORDS, **procfile_of(PROCESSES, Path(folder))})
        victims = list(Storm.victims)
        if arguments.kafka:
            use_kafka(system)
            victims = [*victims, "kafka-server"]
        try:
            system.start()
            with replicas(system, REPLICATED):
                toll = blow(
                    system, Storm(arguments.changes, arguments.kills, victims=victims, seed=arguments.seed)
                )
        finally:
            system.close()
    print(f"seed {arguments.seed}: {toll}")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
