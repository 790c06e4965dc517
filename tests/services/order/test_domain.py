from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.order.domain.orders import (
    MAX_ITEMS,
    MAX_QUANTITY,
    Asker,
    Basket,
    Order,
    OrderCancelled,
    OrderConfirmed,
    OrderItem,
    OrderStatus,
    WantedItem,
    draft_order,
    fields,
    items_fault,
    quantity_fault,
    refuse_repeated_products,
    total_of,
)
from shared.errors import Conflict, FieldError, Invalid
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule, check
from tests.services.order.conftest import ABROAD, MILK, NOON, OLD, TEA, UNKNOWN

ID = UUID("018cc251-f400-7000-8000-000000000001")
ALICE, BOB = UUID(int=0xA), UUID(int=0xB)
OFFER = {each.product_id: each for each in (TEA, MILK, OLD, ABROAD)}
TWO_TEAS_AND_MILK = (WantedItem(TEA.product_id, 2), WantedItem(MILK.product_id, 1))
PENDING = Order(
    ID,
    ALICE,
    (OrderItem(TEA.product_id, "Tea", 2, TEA.price), OrderItem(MILK.product_id, "Milk 🥛", 1, MILK.price)),
    Money(22_100, "KRW"),
    NOON,
)


def basket(*items: WantedItem, expected: Money | None = None) -> Basket:
    return Basket(ALICE, items, expected)


def bad_fields(refused: pytest.ExceptionInfo[Invalid]) -> list[str]:
    return [each.field for each in refused.value.fields]


def test_an_order_has_its_own_copy_of_names_and_prices() -> None:
    order = draft_order(ID, basket(*TWO_TEAS_AND_MILK), OFFER, "KRW", NOON)
    assert order == PENDING
    assert (order.status, order.version, order.reason) == (OrderStatus.PENDING, 1, "")


def test_every_product_that_cannot_be_had_is_named() -> None:
    wanted = [WantedItem(each, 1) for each in (UNKNOWN, TEA.product_id, OLD.product_id, ABROAD.product_id)]
    with pytest.raises(Invalid) as refused:
        draft_order(ID, basket(*wanted), OFFER, "KRW", NOON)
    assert refused.value.fields == (
        FieldError("items[0].product_id", "There is no such product"),
        FieldError("items[2].product_id", "Is no longer on offer"),
        FieldError("items[3].product_id", "Has no price in KRW"),
    )


def test_the_expected_total_must_be_the_total() -> None:
    agreed = basket(*TWO_TEAS_AND_MILK, expected=Money(22_100, "KRW"))
    assert draft_order(ID, agreed, OFFER, "KRW", NOON) == PENDING
    for other in (Money(22_099, "KRW"), Money(22_101, "KRW"), Money(22_100, "USD"), Money(0, "KRW")):
        with pytest.raises(Conflict) as refused:
            draft_order(ID, basket(*TWO_TEAS_AND_MILK, expected=other), OFFER, "KRW", NOON)
        assert refused.value.code == "price-changed"
        assert "22100 KRW" in refused.value.detail


def test_what_is_free_may_be_expected_to_be_so() -> None:
    free = {TEA.product_id: replace(TEA, price=Money(0, "KRW"))}
    wanted = basket(WantedItem(TEA.product_id, 3), expected=Money(0, "KRW"))
    assert draft_order(ID, wanted, free, "KRW", NOON).total == Money(0, "KRW")


@given(st.lists(st.tuples(st.integers(1, MAX_QUANTITY), st.integers(0, MAX_AMOUNT)), min_size=1, max_size=50))
def test_a_total_is_the_sum_or_refused(lines: list[tuple[int, int]]) -> None:
    items = [OrderItem(TEA.product_id, "Tea", quantity, Money(price, "KRW")) for quantity, price in lines]
    amount = sum(quantity * price for quantity, price in lines)
    if amount <= MAX_AMOUNT:
        assert total_of(items) == Money(amount, "KRW")
    else:
        with pytest.raises(Invalid) as refused:
            total_of(items)
        assert bad_fields(refused) == ["items"]


def test_the_largest_total_is_the_largest_amount() -> None:
    largest = OrderItem(TEA.product_id, "Tea", 1, Money(MAX_AMOUNT, "KRW"))
    assert total_of([largest]) == Money(MAX_AMOUNT, "KRW")
    with pytest.raises(Invalid):
        total_of([largest, OrderItem(MILK.product_id, "Milk", 1, Money(1, "KRW"))])


CONFIRMED = replace(PENDING, status=OrderStatus.CONFIRMED, version=2)
CANCELLED = replace(PENDING, status=OrderStatus.CANCELLED, reason="out_of_stock", version=2)


def test_an_order_ends_in_one_of_two_ways() -> None:
    assert PENDING.confirm() == OrderConfirmed(CONFIRMED)
    assert PENDING.cancel("out_of_stock") == OrderCancelled(CANCELLED)
    assert [each.is_final for each in (PENDING, CONFIRMED, CANCELLED)] == [False, True, True]


@pytest.mark.parametrize("final", [CONFIRMED, CANCELLED], ids=["confirmed", "cancelled"])
def test_what_has_ended_stays_as_it_is(final: Order) -> None:
    with pytest.raises(Conflict) as unconfirmed:
        final.confirm()
    with pytest.raises(Conflict) as uncancelled:
        final.cancel("requested")
    assert {unconfirmed.value.code, uncancelled.value.code} == {"order-final"}


@pytest.mark.parametrize(
    ("asker", "sees", "owns"),
    [
        (Asker(ALICE), True, True),
        (Asker(ALICE, is_admin=True), True, True),
        (Asker(BOB), False, False),
        (Asker(BOB, is_admin=True), True, False),
    ],
    ids=["owner", "owner and admin", "other", "admin"],
)
def test_an_order_is_its_owners_business_and_the_admins(asker: Asker, *, sees: bool, owns: bool) -> None:
    assert (asker.may_see(PENDING), asker.owns(PENDING)) == (sees, owns)


# Rules


@pytest.mark.parametrize(
    ("count", "fault"), [(0, True), (1, False), (MAX_ITEMS, False), (MAX_ITEMS + 1, True)]
)
def test_how_many_items(count: int, *, fault: bool) -> None:
    assert (items_fault([None] * count) is not None) is fault


@pytest.mark.parametrize(
    ("quantity", "fault"),
    [(-1, True), (0, True), (1, False), (MAX_QUANTITY, False), (MAX_QUANTITY + 1, True)],
)
def test_how_many_pieces(quantity: int, *, fault: bool) -> None:
    assert (quantity_fault(quantity) is not None) is fault


def test_every_bad_field_is_named(rules: Mapping[str, Rule]) -> None:
    items = [WantedItem(UUID(int=number), 0 if number in (2, 50) else 1) for number in range(51)]
    with pytest.raises(Invalid) as refused:
        check(fields(basket(*items, expected=Money(-1, "XBT"))), rules)
    assert bad_fields(refused) == [
        "items",
        "items[2].quantity",
        "items[50].quantity",
        "expected_total.amount",
        "expected_total.currency",
    ]


def test_only_what_is_given_is_checked(rules: Mapping[str, Rule]) -> None:
    check(fields(basket(*TWO_TEAS_AND_MILK)), rules)
    with pytest.raises(Invalid) as refused:
        check(fields(basket()), rules)
    assert bad_fields(refused) == ["items"]


def test_every_repetition_is_named() -> None:
    refuse_repeated_products(TWO_TEAS_AND_MILK)
    with pytest.raises(Invalid) as refused:
        refuse_repeated_products([*TWO_TEAS_AND_MILK, *TWO_TEAS_AND_MILK, TWO_TEAS_AND_MILK[0]])
    assert bad_fields(refused) == [f"items[{number}].product_id" for number in (2, 3, 4)]
