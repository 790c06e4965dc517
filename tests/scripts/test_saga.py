"""`scripts/saga` on real databases."""

import asyncio
import re
import subprocess
from dataclasses import dataclass
from uuid import UUID

import psycopg
import pytest

from scripts.support import opened_database
from scripts.support.failures import SetupError
from scripts.support.saga.story import show
from services.order.clients import payment_of, reservation_of
from shared.config import Environment
from shared.money import Money
from tests.engines import Engines
from tests.scripts.forked import import_before, run_module
from tests.scripts.small_shop import new_databases, small_shop

COMMAND = "scripts.support.saga"
import_before([f"{COMMAND}.{module}" for module in ("listing", "story", "hurrying")])

USER, TEA, NOBODY = UUID(int=1), UUID(int=2), UUID(int=3)
SILENCE = "The payment service cannot answer."


@dataclass(frozen=True)
class Shop:
    settings: dict[str, str]
    orders: dict[str, UUID]

    def saga(self, *arguments: object, **settings: str) -> "subprocess.CompletedProcess[str]":
        return run_module(COMMAND, list(map(str, arguments)), {**self.settings, **settings})

    def execute(self, service: str, statement: bytes, *values: object) -> list[tuple[object, ...]]:
        with psycopg.connect(self.settings[f"DATABASE_URL_{service.upper()}"]) as database:
            cursor = database.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def make_wait(self, name: str, seconds: int) -> None:
        """For an answer, so far in vain."""
        statement = b"""
            UPDATE sagas SET (attempts, problem, next_since, due_at)
                = (7, %s, now() - make_interval(secs => %s), now() + '90 s'::interval)
            WHERE order_id = %s"""
        self.execute("order", statement, SILENCE, seconds, self.orders[name])


async def play(settings: dict[str, str]) -> dict[str, UUID]:
    async with small_shop(Environment(settings)) as shop:
        await shop.inventory.count(TEA, 10, by=USER)
        await shop.payment.deposit(USER, Money(5_000, "KRW"))
        orders = {
            "confirmed": await shop.place(USER, TEA, 2, price=900),
            "declined": await shop.place(NOBODY, TEA, 1, price=900),
            "old": await shop.place(USER, TEA, 1, price=900),
        }
        await shop.make_older_than_sagas(orders["old"])
        await shop.finish()
        return {
            **orders,
            "stuck": await shop.place(USER, TEA, 1, price=900),
            "new": await shop.place(USER, TEA, 1, price=900),
            "called_off": await shop.place(USER, TEA, 1, price=900),
        }


@pytest.fixture(scope="module")
def shop(engines: Engines) -> Shop:
    settings = {**engines.settings, **new_databases(engines)}
    shop = Shop(settings, asyncio.run(play(settings)))
    shop.make_wait("stuck", seconds=5 * 3600)
    return shop


def rows(told: str) -> list[list[str]]:
    """The cells of tables: two blanks stand between them, or more."""
    return [re.split(r"  +", line) for line in told.splitlines()]


# list


def test_stuck_sagas_come_first_with_their_reason(shop: Shop) -> None:
    listed = shop.saga("list")
    assert (listed.returncode, listed.stderr) == (0, "")
    heads, stuck, *running = rows(listed.stdout)
    assert heads == ["ORDER", "SAGA", "NEXT", "IN VAIN", "WAITS", "DUE", "WHY"]
    assert stuck[:5] == [str(shop.orders["stuck"]), "stuck", "reserve_stock", "7", "5.0 h"]
    assert stuck[6:] == [SILENCE]
    assert [row[:4] for row in running] == [
        [str(shop.orders[name]), "running", "reserve_stock", "0"] for name in ("new", "called_off")
    ]


def test_stuck_sagas_are_listed_alone(shop: Shop) -> None:
    _, *listed = rows(shop.saga("list", "--stuck").stdout)
    assert [row[0] for row in listed] == [str(shop.orders["stuck"])]


def test_sagas_that_have_ended_are_listed_if_asked(shop: Shop) -> None:
    _, _, ended = shop.saga("list", "--all").stdout.partition("\n\n")
    heads, declined, confirmed = rows(ended)
    assert heads == ["ORDER", "ENDED AS", "REASON", "STEPS", "TOOK", "AT"]
    assert declined[:4] == [str(shop.orders["declined"]), "CANCELLED", "payment_declined", "5"]
    assert confirmed[:3] == [str(shop.orders["confirmed"]), "CONFIRMED", "5"]


def test_a_long_list_says_that_there_is_more(shop: Shop) -> None:
    assert shop.saga("list", "--limit", "1").stdout.endswith("\n(and more: --limit)\n")
    assert "more" not in shop.saga("list").stdout


# show


def parts(told: str) -> list[list[list[str]]]:
    return [rows(part) for part in told.split("\n\n")]


def test_a_confirmed_order_is_shown_with_its_steps_and_events(shop: Shop) -> None:
    order = shop.orders["confirmed"]
    published = b"UPDATE outbox SET (published_at, created_at) = ('2026-05-01 12:00Z', now()) WHERE key = %s"
    shop.execute("payment", published, payment_of(order))
    told = shop.saga("show", order)
    assert (told.returncode, told.stderr) == (0, "")
    facts, steps, events = parts(told.stdout)
    assert dict(facts) | {"placed": ""} == {
        "order": str(order),
        "user": str(USER),
        "status": "CONFIRMED",
        "total": "1800 KRW",
        "items": "2 of Tea at 900",
        "placed": "",
        "key of the reservation": reservation_of(order),
        "key of the payment": payment_of(order),
    }
    assert [row[:4] for row in steps] == [
        ["STEP", "KIND", "OUTCOME", "REASON"],
        ["place_order", "compensatable", "done", "1"],
        ["reserve_stock", "compensatable", "done", "1"],
        ["charge_wallet", "compensatable", "done", "1"],
        ["commit_stock", "pivot", "done", "1"],
        ["confirm_order", "retriable", "done", "1"],
    ]
    assert [[row[0], row[1], row[3]] for row in events] == [
        ["EVENT", "OF", "PUBLISHED"],
        ["OrderPlaced", "order", "waits"],
        ["StockReserved", "inventory", "waits"],
        ["PaymentCharged", "payment", "2026-05-01T12:00:00.000Z"],
        ["StockCommitted", "inventory", "waits"],
        ["OrderConfirmed", "order", "waits"],
    ]


def test_compensations_say_what_they_undo(shop: Shop) -> None:
    _, steps, _ = parts(shop.saga("show", shop.orders["declined"]).stdout)
    assert [row[:5] for row in steps[3:]] == [
        ["charge_wallet", "compensatable", "refused", "payment_declined", "1"],
        ["release_stock", "undoes reserve_stock", "done", "1", steps[4][4]],
        ["cancel_order", "undoes place_order", "done", "1", "0 ms"],
    ]


def test_what_comes_next_is_shown_while_it_waits(shop: Shop) -> None:
    facts = dict(parts(shop.saga("show", shop.orders["stuck"]).stdout)[2])
    waits = facts.pop("waits")
    assert facts == {
        "goes": "forward, and may turn back",
        "next": "reserve_stock (compensatable)",
        "stuck": SILENCE,
    }
    assert re.fullmatch(r"5\.0 h, 7 attempts in vain, due in [0-9.]+ (min|s)", waits)


def test_the_way_back_is_shown(shop: Shop) -> None:
    asyncio.run(call_off(shop))
    facts = dict(parts(shop.saga("show", shop.orders["called_off"]).stdout)[2])
    assert facts["goes"] == "back, because of requested"
    assert facts["next"] == "release_stock (undoes reserve_stock)"
    assert facts["why"] == "nobody has taken it up yet"


async def call_off(shop: Shop) -> None:
    async with small_shop(Environment(shop.settings)) as opened:
        await opened.call_off(shop.orders["called_off"])


def test_an_order_from_before_sagas_is_shown(shop: Shop) -> None:
    _, steps, events = parts(shop.saga("show", shop.orders["old"]).stdout)
    assert steps == [["no saga: from before there were any"]]
    assert len(events) == 2


def test_what_is_known_is_shown_when_another_database_is_away(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(opened_database, "DATABASE_SECONDS", 0.5)
    environment = Environment({**shop.settings, "DATABASE_URL_PAYMENT": "postgresql://x@127.0.0.1:1/x"})
    with pytest.raises(SetupError, match="the database of payment cannot be used"):
        asyncio.run(show(environment, str(shop.orders["confirmed"])))
    assert "commit_stock" in capsys.readouterr().out


# retry


def test_a_saga_is_due_at_once(shop: Shop) -> None:
    order = shop.orders["new"]
    shop.make_wait("new", seconds=5)
    told = shop.saga("retry", order)
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith(f"{order}: reserve_stock is due now; ")
    assert f"7 attempts in vain, the latest because of: {SILENCE}" in told.stdout
    assert shop.execute("order", b"SELECT due_at <= now() FROM sagas WHERE order_id = %s", order) == [(True,)]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("confirmed", "is CONFIRMED: its saga has ended"),
        ("old", "has no saga: it was cancelled before there were any"),
    ],
)
def test_what_has_ended_is_not_tried_again(shop: Shop, name: str, why: str) -> None:
    told = shop.saga("retry", shop.orders[name])
    assert (told.returncode, told.stderr) == (1, f"saga: order {shop.orders[name]} {why}\n")


# Naming an order


def test_the_beginning_of_an_identifier_is_enough(shop: Shop) -> None:
    order = str(shop.orders["confirmed"])
    assert shop.saga("show", order[:-1].upper()).stdout.startswith(f"order                   {order}\n")


@pytest.mark.parametrize(
    ("text", "status", "why"),
    [
        ("tea", 2, "'tea' is no identifier of an order, nor the beginning of one"),
        ("0", 1, "several orders begin with 0"),
        (NOBODY, 1, f"there is no order {NOBODY}"),
    ],
)
def test_what_names_no_order_is_said(shop: Shop, text: object, status: int, why: str) -> None:
    told = shop.saga("show", text)
    assert (told.returncode, told.stdout, told.stderr) == (status, "", f"saga: {why}\n")
