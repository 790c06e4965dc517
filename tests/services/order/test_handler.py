"""Orders over HTTP, in requests and responses without sockets; keys and orders are in a real database."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.order.v1 import order_pb2 as pb

from services.order import handler
from services.order.domain.articles import Article
from services.order.domain.orders import (
    Basket,
    Order,
    OrderPlaced,
    OrderStatus,
    WantedItem,
)
from services.order.handler import OrderCalls
from shared import context
from shared.context import ANONYMOUS, Principal
from shared.db.database import Database
from shared.errors import DeadlineExceeded, Invalid, NotFound
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule
from tests.services.asking import (
    ADMIN,
    CUSTOMER,
    OTHER_CUSTOMER,
    bad_fields,
    header,
    problem_code,
    read,
)
from tests.services.order.conftest import ABROAD, NOON, OLD, TEA, UNKNOWN
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import SILENCE
from tests.services.order.place import WAIT_SECONDS, at_work
from tests.services.order.shop import BASKET, ONE_MILK, TOTAL, TWO_TEAS, Shop
from tests.waiting import eventually

NOWHERE = UUID(int=99)


@pytest.fixture
def shop(database: Database, catalogue: FakeCatalogue, rules: Mapping[str, Rule]) -> Shop:
    return Shop(database, catalogue, rules)


async def placed_as(shop: Shop, status: OrderStatus, reason: str = "") -> Order:
    """An order that has come as far as `status`."""
    basket = Basket(UUID(CUSTOMER.user_id), [WantedItem(TEA.product_id, 2)])
    order = replace(await shop.orders.draft(basket), status=status, reason=reason)
    await shop.repository.record(OrderPlaced(order))
    return order


# Placing


async def test_a_placed_order_is_accepted_and_is_where_its_location_says(shop: Shop) -> None:
    accepted = await shop.order()
    assert accepted.status == 202
    order = read(accepted)
    assert order == {
        "order_id": order["order_id"],
        "user_id": CUSTOMER.user_id,
        "status": "PENDING",
        "reason": None,
        "items": [
            {**TWO_TEAS, "product_name": "Tea", "unit_price": {"amount": 9_800, "currency": "KRW"}},
            {**ONE_MILK, "product_name": "Milk 🥛", "unit_price": {"amount": 2_500, "currency": "KRW"}},
        ],
        "total": TOTAL,
        "names_from": "copy",
        "placed_at": "2026-05-01T12:00:00.123456Z",
    }
    assert datetime.fromisoformat(order["placed_at"]) == NOON
    location = header(accepted, "location")
    assert location == f"/orders/{order['order_id']}"
    got = await shop.ask("GET", location, by=CUSTOMER)
    assert (got.status, read(got)) == (200, order | {"names_from": "product"})
    assert header(got, "cache-control") == "no-store"
    assert header(accepted, "idempotent-replayed") is None


async def test_the_total_may_be_agreed_on(shop: Shop, catalogue: FakeCatalogue) -> None:
    agreed = BASKET | {"expected_total": TOTAL}
    assert (await shop.order(agreed)).status == 202
    catalogue.offer[TEA.product_id] = replace(TEA, price=Money(9_900, "KRW"))
    refused = await shop.order(agreed, "k2")
    assert (refused.status, problem_code(refused)) == (409, "price-changed")
    assert "22300 KRW" in read(refused)["detail"]
    assert len(await shop.listed()) == 1


def item(**changes: object) -> dict[str, object]:
    return TWO_TEAS | changes


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, ["items"]),
        ([], ["(body)"]),
        ({"items": []}, ["items"]),
        ({"items": None}, ["items"]),
        ({"items": TWO_TEAS}, ["items"]),
        ({"items": "tea"}, ["items"]),
        ({"items": [item(product_id=str(UUID(int=number))) for number in range(51)]}, ["items"]),
        ({"items": [None, TWO_TEAS, 7]}, ["items[0]", "items[2]"]),
        ({"items": [{}]}, ["items[0].product_id", "items[0].quantity"]),
        ({"items": [item(quantity=0)]}, ["items[0].quantity"]),
        ({"items": [item(quantity=-1)]}, ["items[0].quantity"]),
        ({"items": [item(quantity=10_001)]}, ["items[0].quantity"]),
        ({"items": [item(quantity=10**40)]}, ["items[0].quantity"]),
        ({"items": [ONE_MILK, item(quantity="2")]}, ["items[1].quantity"]),
        ({"items": [ONE_MILK, item(quantity=1.5)]}, ["items[1].quantity"]),
        ({"items": [ONE_MILK, item(quantity=True)]}, ["items[1].quantity"]),
        ({"items": [ONE_MILK, item(quantity=None)]}, ["items[1].quantity"]),
        ({"items": [ONE_MILK, item(product_id="tea")]}, ["items[1].product_id"]),
        ({"items": [ONE_MILK, item(product_id=7)]}, ["items[1].product_id"]),
        ({"items": [ONE_MILK, item(price=1)]}, ["items[1].price"]),
        ({"items": [TWO_TEAS, ONE_MILK, TWO_TEAS]}, ["items[2].product_id"]),
        ({"items": [TWO_TEAS, item(product_id=str(UNKNOWN))]}, ["items[1].product_id"]),
        ({"items": [item(product_id=str(OLD.product_id)), TWO_TEAS]}, ["items[0].product_id"]),
        ({"items": [TWO_TEAS, item(product_id=str(ABROAD.product_id))]}, ["items[1].product_id"]),
        ({"items": [TWO_TEAS], "coupon": "X", "items[0]": 1}, ["coupon", "items[0]"]),
        ({"items": [TWO_TEAS], "expected_total": None}, ["expected_total"]),
        ({"items": [TWO_TEAS], "expected_total": 19_600}, ["expected_total"]),
        ({"items": [TWO_TEAS], "expected_total": {}}, ["expected_total.amount", "expected_total.currency"]),
        ({"items": [TWO_TEAS], "expected_total": TOTAL | {"currency": "USD"}}, ["expected_total.currency"]),
        ({"items": [TWO_TEAS], "expected_total": TOTAL | {"amount": -1}}, ["expected_total.amount"]),
        (
            {
                "items": [item(quantity=0, colour=1), 3, item(product_id="", quantity="")],
                "expected_total": {"amount": "1", "currency": "krw"},
                "note": "",
            },
            [
                "items[0].quantity",
                "items[0].colour",
                "items[1]",
                "items[2].product_id",
                "items[2].quantity",
                "expected_total.amount",
                "expected_total.currency",
                "note",
            ],
        ),
    ],
)
async def test_every_bad_field_is_named(shop: Shop, document: object, fields: list[str]) -> None:
    assert bad_fields(await shop.order(document)) == fields
    assert await shop.listed() == []


async def test_of_very_many_bad_fields_some_are_named(shop: Shop) -> None:
    assert len(bad_fields(await shop.order({"items": [{}] * 1_000}))) == 50


async def test_a_total_that_no_amount_can_hold_is_refused(shop: Shop, catalogue: FakeCatalogue) -> None:
    dear = Article(TEA.product_id, "Gold", Money(MAX_AMOUNT, "KRW"), archived=False, version=2)
    catalogue.offer[TEA.product_id] = dear
    assert bad_fields(await shop.order({"items": [TWO_TEAS]})) == ["items"]
    assert (await shop.order({"items": [item(quantity=1)]}, "k2")).status == 202


async def test_what_is_no_json_is_malformed(shop: Shop) -> None:
    assert (await shop.order(b'{"items":')).status == 400
    refused = await shop.ask("POST", "/orders", b"{}", content_type="text/xml", idempotency_key="k")
    assert refused.status == 415


async def test_without_the_catalogue_nothing_is_ordered(shop: Shop, catalogue: FakeCatalogue) -> None:
    catalogue.be_away()
    refused = await shop.order()
    assert (refused.status, header(refused, "retry-after")) == (503, "1")
    catalogue.failure = DeadlineExceeded("The product service has not answered in time.")
    assert (await shop.order()).status == 504
    assert await shop.listed() == []
    catalogue.failure = None
    again = await shop.order()
    assert (again.status, header(again, "idempotent-replayed")) == (202, None)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/orders"),
        ("GET", "/orders"),
        ("GET", f"/orders/{NOWHERE}"),
        ("POST", f"/orders/{NOWHERE}/cancel"),
    ],
    ids=["place", "browse", "get", "cancel"],
)
async def test_who_is_not_logged_in_may_do_nothing(shop: Shop, method: str, target: str) -> None:
    refused = await shop.ask(method, target, BASKET, by=ANONYMOUS, idempotency_key="k")
    assert refused.status == 401
    assert header(refused, "www-authenticate") == 'Bearer realm="plainstack"'


# Asking again


async def test_without_a_key_nothing_is_ordered(shop: Shop) -> None:
    missing = await shop.ask("POST", "/orders", BASKET, by=CUSTOMER)
    assert (missing.status, problem_code(missing)) == (400, "idempotency-key-missing")
    bad = await shop.order(key="two words")
    assert (bad.status, problem_code(bad)) == (400, "idempotency-key-malformed")
    assert await shop.listed() == []


async def test_asked_again_it_is_the_same_order(shop: Shop, catalogue: FakeCatalogue) -> None:
    first = await shop.order()
    catalogue.be_away()
    for key in ("k", '"k"'):
        again = await shop.order(key=key)
        assert (again.status, read(again)) == (202, read(first))
        assert header(again, "location") == header(first, "location")
        assert header(again, "content-type") == "application/json"
        assert header(again, "idempotent-replayed") == "true"
    assert len(await shop.listed()) == 1
    assert len(catalogue.asked) == 1


async def test_asked_again_an_order_is_told_as_it_is_by_then(shop: Shop) -> None:
    order = await shop.ordered()
    async with at_work(shop.orchestrator):
        await shop.orders.settled(await shop.kept(order), WAIT_SECONDS)
    again = await shop.order()
    assert (again.status, header(again, "idempotent-replayed")) == (201, "true")
    assert read(again) == order | {"status": "CONFIRMED"}
    assert header(again, "location") == f"/orders/{order['order_id']}"


async def test_asked_again_a_refusal_stays_one(shop: Shop, catalogue: FakeCatalogue) -> None:
    unknown = {"items": [item(product_id=str(UNKNOWN))]}
    first = await shop.order(unknown)
    catalogue.offer[UNKNOWN] = replace(TEA, product_id=UNKNOWN)
    again = await shop.order(unknown)
    assert (again.status, read(again)) == (422, read(first))
    assert header(again, "content-type") == "application/problem+json"
    assert header(again, "idempotent-replayed") == "true"
    assert (await shop.order(unknown, "k2")).status == 202


async def test_a_key_is_for_one_content(shop: Shop) -> None:
    await shop.ordered()
    for other in ({"items": [TWO_TEAS]}, BASKET | {"expected_total": TOTAL}):
        refused = await shop.order(other)
        assert (refused.status, problem_code(refused)) == (422, "idempotency-key-reused")
    spelled_otherwise = {"items": [dict(reversed(each.items())) for each in BASKET["items"]]}
    assert (await shop.order(spelled_otherwise)).status == 202
    assert len(await shop.listed()) == 1


async def test_a_key_is_its_users_own(shop: Shop) -> None:
    order, other = await shop.ordered(), await shop.ordered(by=OTHER_CUSTOMER)
    assert order["order_id"] != other["order_id"]


async def test_while_the_first_is_answered_another_is_told_so(shop: Shop, catalogue: FakeCatalogue) -> None:
    may_go_on = catalogue.hold_up()
    first = asyncio.create_task(shop.order())
    await eventually(lambda: catalogue.asked)
    refused = await shop.order()
    assert (refused.status, problem_code(refused)) == (409, "idempotency-key-in-use")
    assert header(refused, "retry-after") == "1"
    may_go_on.set()
    order = read(await first)
    assert read(await shop.order()) == order


async def test_whoever_gives_up_leaves_the_key(shop: Shop, catalogue: FakeCatalogue) -> None:
    may_go_on = catalogue.hold_up()
    first = asyncio.create_task(shop.order())
    await eventually(lambda: catalogue.asked)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    may_go_on.set()
    assert (await shop.order()).status == 202


async def test_whoever_is_overtaken_places_nothing(
    shop: Shop, catalogue: FakeCatalogue, database: Database
) -> None:
    slow_may_go_on = catalogue.hold_up()
    slow = asyncio.create_task(shop.order())
    await eventually(lambda: catalogue.asked)
    async with database.connection() as connection:
        await connection.execute("UPDATE idempotency_keys SET claimed_until = now() - interval '1 second'")
    catalogue.hold_up().set()
    order = await shop.ordered()
    slow_may_go_on.set()
    overtaken = await slow
    assert (overtaken.status, problem_code(overtaken)) == (409, "idempotency-key-in-use")
    assert await shop.listed() == [order]


# Reading


async def test_others_orders_are_not_found_and_admins_see_all(shop: Shop) -> None:
    order = await shop.ordered()
    target = f"/orders/{order['order_id']}"
    assert read(await shop.ask("GET", target, by=ADMIN))["user_id"] == CUSTOMER.user_id
    assert (await shop.ask("GET", target, by=OTHER_CUSTOMER)).status == 404


@pytest.mark.parametrize("text", [str(NOWHERE), "7", "x" * 36, "%00", "..%2F", f"{{{NOWHERE}}}"])
async def test_unknown_orders_are_not_found(shop: Shop, text: str) -> None:
    assert (await shop.ask("GET", f"/orders/{text}")).status == 404
    assert (await shop.ask("POST", f"/orders/{text}/cancel")).status == 404


async def test_names_are_todays_where_the_catalogue_can_be_asked(
    shop: Shop, catalogue: FakeCatalogue
) -> None:
    order = await shop.ordered()

    async def told() -> tuple[str, list[str]]:
        got = read(await shop.ask("GET", f"/orders/{order['order_id']}", by=CUSTOMER))
        assert got["total"] == TOTAL
        return got["names_from"], [each["product_name"] for each in got["items"]]

    catalogue.offer[TEA.product_id] = replace(TEA, name="Green tea", price=Money(1, "KRW"))
    assert await told() == ("product", ["Green tea", "Milk 🥛"])
    catalogue.be_away()
    assert await told() == ("copy", ["Tea", "Milk 🥛"])
    catalogue.failure = DeadlineExceeded("The product service has not answered in time.")
    assert await told() == ("copy", ["Tea", "Milk 🥛"])


async def test_a_list_tells_of_each_orders_own_copies(shop: Shop, catalogue: FakeCatalogue) -> None:
    order = await shop.ordered()
    catalogue.rename(TEA.product_id, "Green tea")
    assert await shop.listed() == [order]
    assert len(catalogue.asked) == 1


async def test_the_pages_hold_everything_once(shop: Shop) -> None:
    made = [(await shop.ordered(f"k{number}"))["order_id"] for number in range(7)]
    await shop.ordered(by=OTHER_CUSTOMER)
    seen, cursor, sizes = [], "", []
    while cursor is not None:
        page = read(await shop.ask("GET", f"/orders?limit=3&cursor={cursor}", by=CUSTOMER))
        seen += [each["order_id"] for each in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next"]
    assert sizes == [3, 3, 1]
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)
    assert len(await shop.listed(by=ADMIN)) == 8
    assert len(await shop.listed(by=OTHER_CUSTOMER)) == 1


async def test_bad_parameters_are_named(shop: Shop) -> None:
    assert bad_fields(await shop.ask("GET", "/orders?limit=101&cursor=!")) == ["limit", "cursor"]


# Cancelling


async def test_an_order_can_be_cancelled_by_its_owner_alone(shop: Shop) -> None:
    order = await shop.ordered()
    for other in (OTHER_CUSTOMER, ADMIN):
        assert (await shop.cancel(order, by=other)).status == 404
    async with at_work(shop.orchestrator):
        shop.participants.will("reserve", SILENCE)
        for _ in range(2):  # the second time as a client whose first answer was lost
            cancelled = await shop.cancel(order)
            assert cancelled.status == 200
            assert read(cancelled) == order | {"status": "CANCELLED", "reason": "requested"}
    assert (await shop.listed())[0]["status"] == "CANCELLED"


async def test_an_order_is_pending_until_all_has_been_undone(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "CANCELLING_SECONDS", 0.0)
    order = await shop.ordered()
    for _ in range(2):
        answer = await shop.cancel(order)
        assert (answer.status, read(answer)) == (200, order)


async def test_what_is_confirmed_is_too_late_to_cancel(shop: Shop) -> None:
    confirmed = await placed_as(shop, OrderStatus.CONFIRMED)
    refused = await shop.cancel({"order_id": confirmed.order_id})
    assert (refused.status, problem_code(refused)) == (409, "order-confirmed")
    assert (await shop.listed())[0]["status"] == "CONFIRMED"


async def test_when_the_goods_are_leaving_it_is_too_late_to_cancel(shop: Shop) -> None:
    order, may_leave = await shop.ordered(), shop.participants.hold_up("commit")
    async with at_work(shop.orchestrator):
        await eventually(lambda: "commit" in shop.participants.asked)
        refused = await shop.cancel(order)
        assert (refused.status, problem_code(refused)) == (409, "too-late")
        may_leave.set()
        await shop.orders.settled(await shop.kept(order), WAIT_SECONDS)
    assert (await shop.listed())[0]["status"] == "CONFIRMED"


async def test_other_methods_are_named(shop: Shop) -> None:
    refused = await shop.ask("DELETE", "/orders")
    assert (refused.status, header(refused, "allow")) == (405, "GET, HEAD, OPTIONS, POST")


# What other services ask


async def asked_for(shop: Shop, order_id: object, by: Principal) -> pb.Order:
    context.principal.set(by)
    answer = await OrderCalls(shop.orders).GetOrder(pb.GetOrderRequest(order_id=str(order_id)), None)
    return answer.order


@pytest.mark.parametrize(
    ("status", "reason"),
    [("PENDING", ""), ("CONFIRMED", ""), ("CANCELLED", "out_of_stock")],
    ids=["pending", "confirmed", "cancelled"],
)
async def test_other_services_see_all_of_an_order(shop: Shop, status: str, reason: str) -> None:
    placed = await placed_as(shop, OrderStatus(status), reason)
    order = await asked_for(shop, placed.order_id, CUSTOMER)
    assert order.placed_at.ToDatetime(NOON.tzinfo) == NOON
    tea = pb.OrderItem(
        product_id=str(TEA.product_id),
        product_name="Tea",
        quantity=2,
        unit_price=MoneyMessage(amount=9_800, currency="KRW"),
    )
    assert order == pb.Order(
        order_id=str(placed.order_id),
        user_id=CUSTOMER.user_id,
        status=pb.OrderStatus.Value(f"ORDER_STATUS_{status}"),
        reason=reason,
        items=[tea],
        total=MoneyMessage(amount=19_600, currency="KRW"),
        version=1,
        placed_at=order.placed_at,
    )
    assert await asked_for(shop, placed.order_id, ADMIN) == order


def test_every_status_has_a_name_in_the_contract() -> None:
    ours = {f"ORDER_STATUS_{status}" for status in OrderStatus}
    assert ours == {*pb.OrderStatus.keys()} - {"ORDER_STATUS_UNSPECIFIED"}


async def test_other_services_see_no_more_than_whom_they_speak_for(shop: Shop) -> None:
    placed = await placed_as(shop, OrderStatus.PENDING)
    for by in (OTHER_CUSTOMER, ANONYMOUS):
        with pytest.raises(NotFound):
            await asked_for(shop, placed.order_id, by)
    with pytest.raises(NotFound):
        await asked_for(shop, NOWHERE, ADMIN)
    with pytest.raises(Invalid) as refused:
        await asked_for(shop, "7", ADMIN)
    assert [each.field for each in refused.value.fields] == ["order_id"]
