"""Events in whole systems: copies that follow, whatever dies, and the operator's repairs."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from shop.product.v1.events_pb2 import ProductNameChanged
from shop.product.v1.product_pb2 import Product

from shared.config import LOOPBACK
from shared.events.envelope import encode, seal
from shared.ids import new_id
from shared.ports import port_of
from tests.e2e.conftest import NewSystem
from tests.e2e.event_storm import (
    PROCESSES,
    REPLICATED,
    Storm,
    Toll,
    blow,
    database,
    look,
    use_kafka,
    wait_for_quiet,
)
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.replicas import replicas
from tests.e2e.system import CHEAP_PASSWORDS, READY, Finished, System, procfile_of
from tests.kafka_broker import need_kafka
from tests.waiting import until

SECONDS = 30.0
SMALL = Storm(changes=200, kills=4, products=12, seconds_between=1.0, seed=1)


@dataclass(frozen=True)
class Stormy:
    """A system that has been through a storm, and what it has cost."""

    system: System
    toll: Toll


def events(system: System, *arguments: str) -> Finished:
    return system.command("events", *arguments)


@pytest.fixture(scope="module")
def stormy(tmp_path_factory: pytest.TempPathFactory, made: Path) -> Iterator[Stormy]:
    folder = tmp_path_factory.mktemp("stormy")
    system = System(folder / "home", {**CHEAP_PASSWORDS, **procfile_of(PROCESSES, folder)}, made=made)
    try:
        system.start()
        with replicas(system, REPLICATED):
            toll = blow(system, SMALL)
        yield Stormy(system, toll)
    finally:
        system.close()


# Storms


def require_calm(toll: Toll) -> None:
    """Every copy is like its source, and got there once, in order."""
    assert (toll.not_taken, toll.different, toll.twice, toll.backwards, toll.parked) == (0, 0, 0, 0, 0), toll
    assert toll.events >= SMALL.changes, toll


def test_copies_follow_whatever_is_killed(stormy: Stormy) -> None:
    require_calm(stormy.toll)


def test_copies_follow_on_kafka_whatever_is_killed(new_system: NewSystem, made: Path, tmp_path: Path) -> None:
    need_kafka()
    system = new_system(procfile_of(PROCESSES, tmp_path), made=made)
    use_kafka(system)
    system.start("--kafka")
    ready = next(line for line in system.log().splitlines() if READY in line)
    assert f"kafka {LOOPBACK}:{port_of('kafka', system.port_base)}" in ready
    with replicas(system, REPLICATED):
        toll = blow(system, replace(SMALL, kills=2, victims=("kafka-server", "order.1")))
    require_calm(toll)
    assert system.stop() == 0
    assert_all_have_left(system)


# Repairs


def put_poison(system: System) -> str:
    """An event that order cannot take in, among good ones; its identifier."""
    event = seal(
        ProductNameChanged(product=Product(product_id="no identifier", name="Poison", version=1)),
        event_id=new_id(),
        source="product",
        subject="poison",
        time=datetime.now(UTC),
        traceparent="",
    )
    with database(system, "product") as product:
        values = [event.id, event.subject, event.type, encode(event)]
        product.execute("INSERT INTO outbox (event_id, key, type, value) VALUES (%s, %s, %s, %s)", values)
        product.execute("NOTIFY outbox")
    return str(event.id)


def test_a_poison_event_is_parked_and_shown_and_stops_nothing(stormy: Stormy) -> None:
    system = stormy.system
    letter_id = put_poison(system)
    until(lambda: letter_id in events(system, "list", "order").stdout, SECONDS, "it is parked", system.log)
    assert wait_for_quiet(system) < SECONDS

    shown = events(system, "show", "order", letter_id).stdout
    assert "product_id" in shown
    assert json.loads(shown[shown.index("{") :])["data"]["product"]["productId"] == "no identifier"

    redriven = events(system, "redrive", "order")
    assert (redriven.returncode, "1 cannot be taken in" in redriven.stdout) == (1, True), redriven
    assert events(system, "discard", "order", letter_id).returncode == 0
    assert events(system, "list").stdout == "no dead letters\n"


def test_a_dead_letter_whose_cause_is_mended_takes_effect_once(stormy: Stormy) -> None:
    system = stormy.system
    with database(system, "product") as product, database(system, "order") as order:
        found = product.execute("SELECT event_id, key, value FROM outbox WHERE key <> 'poison' LIMIT 1")
        [(event_id, key, value)] = found.fetchall()
        park = (
            "INSERT INTO dead_letters (consumer, letter_id, topic, key, place, value, error, attempts) "
            "VALUES ('order', %s, 'product', %s, '', %s, 'a bug', 5)"
        )
        order.execute("DELETE FROM inbox WHERE event_id = %s", [event_id])
        for expected in ("1 new, 0 had happened already", "0 new, 1 had happened already"):
            order.execute(park, [event_id, key, value])
            redriven = events(system, "redrive", "order", str(event_id))
            assert (redriven.returncode, expected in redriven.stdout) == (0, True), redriven


def test_a_replay_brings_what_is_missing_and_nothing_twice(stormy: Stormy) -> None:
    system = stormy.system
    with database(system, "order") as order:
        order.execute("DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox LIMIT 3)")
    replayed = events(system, "replay", "order")
    assert re.search(r": 3 new, \d{3,} had happened already", replayed.stdout), replayed


def test_a_wiped_broker_is_served_again(stormy: Stormy) -> None:
    system = stormy.system
    with database(system, "order") as order:
        order.execute("DELETE FROM inbox WHERE event_id IN (SELECT event_id FROM inbox LIMIT 3)")
    with redis.Redis.from_url(system.environment.redis_url().value) as store:
        store.flushall()
    republished = events(system, "republish", "product")
    assert re.match(r"\d{3,} events of product", republished.stdout), republished
    wait_for_quiet(system)
    toll = Toll()
    look(system, toll)
    assert (toll.not_taken, toll.different, toll.twice) == (0, 0, 0)


def test_damaged_copies_are_rebuilt_while_events_go_on(stormy: Stormy) -> None:
    system = stormy.system
    with database(system, "order") as order:
        order.execute(
            "UPDATE articles SET name = 'damaged' WHERE ctid IN (SELECT ctid FROM articles LIMIT 4)"
        )
        order.execute("DELETE FROM articles WHERE ctid IN (SELECT ctid FROM articles LIMIT 2)")
    rebuilt = events(system, "rebuild", "order")
    assert re.search(r"\d+ products in the catalogue: [456] copies were wrong", rebuilt.stdout), rebuilt
    toll = Toll()
    look(system, toll)
    assert toll.different == 0
    assert "all copies are right" in events(system, "rebuild", "order").stdout


def test_what_waits_is_told(stormy: Stormy) -> None:
    until(lambda: nothing_waits(events(stormy.system, "lag").stdout), SECONDS, "all is acknowledged")
    told = stormy.system.run("./scripts/events", "lag").stdout
    assert nothing_waits(told), told


def nothing_waits(told: str) -> bool:
    """Neither in product's outbox nor on the bus for order."""
    lines = (r"^product +0$", r"^order +product +0 +\d+$")
    return all(re.search(line, told, re.MULTILINE) for line in lines)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "payment"], "'payment' has no inbox; these have: inventory, order"),
        (["republish", "product", "--since", "2 days"], "'2 days' is no age"),
        (["show", "order", "01a215d5-ec4c-762b-bca6-647a6803e55c"], "order has no dead letter"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(stormy: Stormy, arguments: list[str], words: str) -> None:
    refused = events(stormy.system, *arguments)
    assert refused.returncode != 0
    assert words in refused.stderr
    assert refused.stderr.count("\n") == 1
