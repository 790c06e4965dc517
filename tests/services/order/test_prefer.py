"""`Prefer: wait` at POST /orders: who waits is told the end, if it comes in time."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

import pytest

from services.order import handler
from services.order.domain.fulfilment import Answer
from services.order.repository.orders import PostgresOrderRepository
from shared import context
from shared.db.database import Database
from shared.errors import Unavailable
from shared.rules import Rule
from tests.services.asking import bad_fields, header, read
from tests.services.order.conftest import UNKNOWN
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.place import WAIT_SECONDS, at_work
from tests.services.order.shop import Shop
from tests.waiting import eventually

LONG = f"wait={WAIT_SECONDS:g}"


@pytest.fixture
def shop(database: Database, catalogue: FakeCatalogue, rules: Mapping[str, Rule]) -> Shop:
    return Shop(database, catalogue, rules)


async def test_who_waits_is_told_the_end(shop: Shop) -> None:
    async with at_work(shop.orchestrator):
        confirmed = await shop.order(prefer=LONG)
        shop.participants.will("reserve", Answer("out_of_stock"))
        cancelled = await shop.order(key="k2", prefer=f"respond-async, {LONG}; foo")
    for answer, status, reason in (
        (confirmed, "CONFIRMED", None),
        (cancelled, "CANCELLED", "out_of_stock"),
    ):
        order = read(answer)
        assert (answer.status, order["status"], order["reason"]) == (201, status, reason)
        assert header(answer, "location") == f"/orders/{order['order_id']}"
        assert header(answer, "preference-applied") == LONG


async def test_who_does_not_wait_long_enough_is_told_where_to_look(shop: Shop) -> None:
    answer = await shop.order(prefer="wait=0")
    assert (answer.status, read(answer)["status"]) == (202, "PENDING")
    assert header(answer, "location") == f"/orders/{read(answer)['order_id']}"
    assert header(answer, "preference-applied") == "wait=0"


@pytest.mark.parametrize("prefer", ["", "wait", "wait=soon", "respond-async", "@"])
async def test_a_wish_that_cannot_be_understood_is_none(shop: Shop, prefer: str) -> None:
    answer = await shop.order(prefer=prefer)
    assert (answer.status, header(answer, "preference-applied")) == (202, None)


async def test_asked_again_with_a_wish_it_is_waited_for(shop: Shop) -> None:
    order = await shop.ordered()
    async with at_work(shop.orchestrator):
        waited = await shop.order(prefer=LONG)
    assert (waited.status, read(waited)) == (201, order | {"status": "CONFIRMED"})
    assert header(waited, "idempotent-replayed") == "true"
    assert header(waited, "preference-applied") == LONG
    again = await shop.order()
    assert (again.status, read(again)) == (201, read(waited))
    assert header(again, "preference-applied") is None


async def test_for_what_is_refused_nobody_waits(shop: Shop) -> None:
    unknown = {"items": [{"product_id": str(UNKNOWN), "quantity": 1}]}
    for _ in range(2):
        refused = await shop.order(unknown, prefer=LONG)
        assert bad_fields(refused) == ["items[0].product_id"]
        assert header(refused, "preference-applied") is None


async def test_if_the_database_goes_away_meanwhile_the_order_is_there_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(PostgresOrderRepository, "get", away)
        answer = await shop.order(prefer=LONG)
    assert answer.status == 202
    assert read(await shop.order()) == read(answer)


async def test_who_hangs_up_meanwhile_finds_the_order_under_its_key(shop: Shop) -> None:
    waiting, commit = asyncio.create_task(shop.order(prefer=LONG)), shop.participants.hold_up("commit")
    async with at_work(shop.orchestrator):
        await eventually(lambda: "commit" in shop.participants.asked, WAIT_SECONDS)
        waiting.cancel()
        with suppress(asyncio.CancelledError):
            await waiting
        (order,) = await shop.listed()
        assert read(await shop.order()) == order
        commit.set()
        assert read(await shop.order(prefer=LONG))["status"] == "CONFIRMED"
    assert len(await shop.listed()) == 1


async def test_nobody_waits_longer_than_the_request_may_take(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = time.monotonic()
    context.deadline.set(started + 0.7)
    assert (await shop.order(prefer="wait=100")).status == 202
    context.deadline.set(None)
    monkeypatch.setattr(handler, "WAIT_SECONDS", 0.1)
    assert (await shop.order(prefer="wait=100")).status == 202
    assert time.monotonic() < started + WAIT_SECONDS
