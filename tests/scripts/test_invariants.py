"""`scripts/check-invariants` on real databases: what services write is sound, and each fault is found.

Every fault has an order, a user and a product of its own, or a room, so none of them hides another.
"""

import asyncio
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import psycopg
import pytest

from scripts.support.invariants import check as checking
from scripts.support.invariants import findings
from scripts.support.invariants.check import check
from scripts.support.invariants.findings import Finding
from scripts.support.invariants.snapshots import Snapshot, snapshot
from services.order.clients import payment_of, reservation_of
from shared.config import Environment
from shared.ids import new_id
from shared.money import Money
from tests.engines import Engines
from tests.scripts.forked import import_before, run_module
from tests.scripts.planted_faults import FAULTS, Fault
from tests.scripts.small_shop import SmallShop, new_databases, small_shop

COMMAND = "scripts.support.invariants"
import_before([f"{COMMAND}.check"])

IN_STOCK, PIECES, PRICE, RICHES = 10, 2, 900, 10_000
SAID = 3  # messages in a room
LATER = ("refunded", "pending")


@dataclass(frozen=True)
class Victim:
    """An order, whose it is, and what was ordered; or a room of somebody who has ordered nothing."""

    user: UUID
    product: UUID
    order: UUID
    room: UUID | None = None

    @property
    def names(self) -> Mapping[str, object]:
        keys = {"payment": payment_of(self.order), "reservation": reservation_of(self.order)}
        return {"user": self.user, "product": self.product, "order": self.order, "room": self.room, **keys}


@dataclass(frozen=True)
class Shop:
    """Its databases; an order or a room for each fault; what was found while the shop was at work."""

    settings: dict[str, str]
    victims: dict[Fault, Victim]
    at_work: list[Finding]

    @property
    def environment(self) -> Environment:
        return Environment(self.settings)

    def run(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return run_module(COMMAND, arguments, {**self.settings, **settings})


# What is sound


async def place(shop: SmallShop, kind: str) -> Victim:
    user, product = new_id(), new_id()
    if kind == "talk":
        return Victim(user, product, order=new_id(), room=await shop.talk(user, SAID))
    await shop.inventory.count(product, 1 if kind == "out_of_stock" else IN_STOCK, by=user)
    if kind != "declined":
        await shop.payment.deposit(user, Money(RICHES, "KRW"))
    order = await shop.place(user, product, PIECES, price=0 if kind == "free" else PRICE)
    if kind == "requested":
        await shop.call_off(order)
    if kind == "old":
        await shop.make_older_than_sagas(order)
    return Victim(user, product, order)


async def found_while_at_work(shop: SmallShop, environment: Environment) -> list[Finding]:
    """What is found when an order is placed and brought to its end between any two looks at databases."""
    loop = asyncio.get_running_loop()

    async def buy() -> None:
        await place(shop, "confirmed")
        await shop.finish()

    @contextmanager
    def late_snapshot(environment: Environment, name: str) -> Iterator[Snapshot]:
        if name != "order":
            asyncio.run_coroutine_threadsafe(buy(), loop).result()
        with snapshot(environment, name) as look:
            yield look

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checking, "snapshot", late_snapshot)
        return await asyncio.to_thread(check, environment)


async def play(settings: dict[str, str]) -> Shop:
    victims, environment = dict[Fault, Victim](), Environment(settings)
    async with small_shop(environment) as shop:
        await place(shop, "out_of_stock")
        for fault in FAULTS:
            if fault.kind not in LATER:
                victims[fault] = await place(shop, fault.kind)
        await shop.finish()
        at_work = await found_while_at_work(shop, environment)
    async with small_shop(environment, reserved_for=timedelta(0)) as shop:
        victims |= {each: await place(shop, "refunded") for each in FAULTS if each.kind == "refunded"}
        await shop.finish()
        victims |= {each: await place(shop, "pending") for each in FAULTS if each.kind == "pending"}
    return Shop(settings, victims, at_work)


@pytest.fixture(scope="module")
def shop(engines: Engines) -> Shop:
    return asyncio.run(play({**engines.settings, **new_databases(engines)}))


@dataclass(frozen=True)
class Before:
    """What was found before anything was wrong."""

    findings: list[Finding]
    told: "subprocess.CompletedProcess[str]"


@pytest.fixture(scope="module")
def before(shop: Shop) -> Before:
    return Before(check(shop.environment), shop.run())


def test_what_services_write_is_sound(before: Before, shop: Shop) -> None:
    assert [each for each in before.findings if not each.is_sound] == []
    looked_at = {each.what: each.looked_at for each in before.findings}
    assert looked_at["a saga has ended once its order is final, and not before"] > len(FAULTS)
    assert [what for what, count in looked_at.items() if not count] == [
        "an event that has come is taken in, and not a dead letter"
    ]


def test_a_shop_at_work_raises_no_alarm(shop: Shop) -> None:
    assert [each for each in shop.at_work if not each.is_sound] == []


def test_soundness_is_told(before: Before) -> None:
    assert (before.told.returncode, before.told.stderr) == (0, "")
    assert before.told.stdout.endswith("\n\nall 19 hold\n")


# What is not


@pytest.fixture(scope="module")
def found(engines: Engines, shop: Shop, before: Before) -> dict[str, Finding]:
    """All findings, by what must hold, when every fault has been planted."""
    for fault, victim in shop.victims.items():
        name = shop.environment.database_url(fault.database).value.rpartition("/")[2]
        with psycopg.connect(engines.superuser_url.value, dbname=name) as database:
            database.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
            database.execute(fault.statement.encode(), victim.names)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(findings, "SHOWN", 1_000)
        return {each.what: each for each in check(shop.environment)}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.what}: {fault.told}")
def test_a_fault_is_found(fault: Fault, found: dict[str, Finding], shop: Shop) -> None:
    [finding] = [each for what, each in found.items() if what.startswith(fault.what)]
    assert fault.told.format(**shop.victims[fault].names) in finding.examples


def test_every_check_has_had_its_fault(found: dict[str, Finding]) -> None:
    assert [each.what for each in found.values() if each.is_sound] == []


def test_faults_are_told(found: dict[str, Finding], shop: Shop) -> None:
    told = shop.run("--json")
    assert told.returncode == 1
    assert [each["wrong"] for each in json.loads(told.stdout)] == [each.wrong for each in found.values()]
    assert max(len(each["examples"]) for each in json.loads(told.stdout)) == 3
    table = shop.run()
    assert table.stdout.endswith("\n\n19 of 19 do not hold\n")
    assert "is still pending" in table.stdout


def test_the_age_is_the_operators(found: dict[str, Finding], shop: Shop) -> None:
    [patient, *_] = check(shop.environment, age=3600)
    assert (patient.what, patient.wrong) == ("an order is final, or younger than 3600 s", 0)


def test_unpublished_events_count_only_if_asked(shop: Shop) -> None:
    *_, unpublished = check(shop.environment, published=True)
    assert unpublished.what == "an event that has happened is published"
    assert unpublished.wrong == unpublished.looked_at > len(FAULTS)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"DATABASE_URL_PAYMENT": "postgresql://nobody@127.0.0.1:1/nothing"},
            "payment cannot be looked at: connection",
        ),
        (
            {"DATABASE_URL_PAYMENT": "DATABASE_URL_PRODUCT"},
            'payment cannot be looked at: relation "payments" does not',
        ),
    ],
)
def test_what_cannot_be_looked_at_is_neither(shop: Shop, settings: dict[str, str], words: str) -> None:
    settings = {key: shop.settings.get(value, value) for key, value in settings.items()}
    told = shop.run(**settings)
    assert (told.returncode, told.stdout, told.stderr.count("\n")) == (2, "", 1)
    assert f"check-invariants: the database of {words}" in told.stderr
