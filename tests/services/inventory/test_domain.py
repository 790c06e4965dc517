from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from services.inventory.domain.outcomes import (
    COMMIT_OUTCOMES,
    RELEASE_OUTCOMES,
    RESERVE_OUTCOMES,
    ReservationStatus,
    ReserveOutcome,
)
from services.inventory.domain.reservations import (
    Item,
    Reservation,
    ReserveAnswer,
    StockCommitted,
    StockReleased,
    StockReservationExpired,
    StockReservationRefused,
    StockReserved,
    cancel_in_advance,
    in_order,
    reserve,
)
from services.inventory.domain.stock import (
    MAX_ON_HAND,
    Movement,
    MovementReason,
    Stock,
    StockChanged,
    on_hand_fault,
)
from shared.errors import Conflict, Invalid

ADMIN = UUID(int=0xAD)
TEA, MILK = UUID(int=1), UUID(int=2)
ID = UUID(int=1001)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
BEFORE, AFTER = NOON - timedelta(microseconds=1), NOON + timedelta(microseconds=1)
ITEMS = (Item(TEA, 3), Item(MILK, 1))
STOCK = {TEA: Stock(TEA, 10, 5, version=7), MILK: Stock(MILK, 2, 1, version=4)}
RESERVED = Reservation(ID, ITEMS, ReservationStatus.RESERVED, NOON)
PUT_BACK = (StockChanged(Stock(TEA, 10, 2, version=8)), StockChanged(Stock(MILK, 2, 0, version=5)))
ENDED = [each for each in ReservationStatus if each is not ReservationStatus.RESERVED]


# Stock


def test_what_is_set_aside_is_not_available() -> None:
    assert STOCK[TEA].available == 5
    assert Stock(TEA).available == 0


def test_what_is_new_is_opened_and_nothing_else() -> None:
    assert Stock(TEA).opened() == StockChanged(Stock(TEA, version=1))
    assert Stock(TEA, version=1).opened() is None
    assert STOCK[TEA].opened() is None


@pytest.mark.parametrize("on_hand", [5, 9, 11, MAX_ON_HAND])
def test_a_count_is_a_movement(on_hand: int) -> None:
    moved = Movement(TEA, on_hand - 10, on_hand, MovementReason.SET, ADMIN)
    assert STOCK[TEA].counted(on_hand, ADMIN) == StockChanged(Stock(TEA, on_hand, 5, version=8), moved)


def test_counting_the_same_is_no_event() -> None:
    assert STOCK[TEA].counted(10, ADMIN) is None


def test_the_first_count_is_one_even_of_nothing() -> None:
    assert Stock(TEA).counted(0, ADMIN) == StockChanged(Stock(TEA, 0, 0, version=1))


def test_a_count_below_what_is_set_aside_is_a_conflict() -> None:
    with pytest.raises(Conflict) as refused:
        STOCK[TEA].counted(4, ADMIN)
    assert refused.value.code == "below-reserved"


@pytest.mark.parametrize(
    ("on_hand", "fault"), [(0, False), (MAX_ON_HAND, False), (-1, True), (MAX_ON_HAND + 1, True)]
)
def test_how_much_there_can_be(on_hand: int, *, fault: bool) -> None:
    assert (on_hand_fault(on_hand) is not None) is fault


# Reserving


def test_all_items_are_set_aside() -> None:
    changes = (StockChanged(Stock(TEA, 10, 8, version=8)), StockChanged(Stock(MILK, 2, 2, version=5)))
    assert reserve(ID, ITEMS, STOCK, NOON) == StockReserved(RESERVED, changes)


def test_whatever_is_short_is_named_and_nothing_is_set_aside() -> None:
    items = (Item(TEA, 5), Item(MILK, 2))
    refused = Reservation(ID, items, ReservationStatus.REFUSED, short_product_ids=(MILK,))
    assert reserve(ID, items, STOCK, NOON) == StockReservationRefused(refused)


def test_the_last_piece_can_be_had() -> None:
    assert isinstance(reserve(ID, (Item(TEA, 5),), STOCK, NOON), StockReserved)
    assert isinstance(reserve(ID, (Item(TEA, 6),), STOCK, NOON), StockReservationRefused)


def test_an_answer_says_until_when_or_what_is_short() -> None:
    assert RESERVED.answer == ReserveAnswer(ReserveOutcome.RESERVED, NOON)
    committed = replace(RESERVED, status=ReservationStatus.COMMITTED)
    assert committed.answer == RESERVED.answer
    expired = replace(RESERVED, status=ReservationStatus.EXPIRED)
    assert expired.answer == ReserveAnswer(ReserveOutcome.RESERVATION_EXPIRED)
    refused = Reservation(ID, ITEMS, ReservationStatus.REFUSED, short_product_ids=(TEA,))
    assert refused.answer == ReserveAnswer(ReserveOutcome.OUT_OF_STOCK, short_product_ids=(TEA,))


def test_every_end_has_an_answer_to_every_command() -> None:
    assert RESERVE_OUTCOMES.keys() == set(ReservationStatus)
    assert RELEASE_OUTCOMES.keys() == COMMIT_OUTCOMES.keys() == set(ENDED)


def test_a_reservation_is_for_its_items_only() -> None:
    RESERVED.require_same(ITEMS)
    cancel_in_advance(ID).reservation.require_same(ITEMS)
    with pytest.raises(Conflict):
        RESERVED.require_same(ITEMS[:1])


# Ending


def test_a_release_puts_back() -> None:
    released = replace(RESERVED, status=ReservationStatus.RELEASED)
    assert RESERVED.release(STOCK) == StockReleased(released, PUT_BACK)


@pytest.mark.parametrize("now", [NOON, AFTER])
def test_what_is_not_committed_in_time_is_put_back(now: datetime) -> None:
    expired = StockReservationExpired(replace(RESERVED, status=ReservationStatus.EXPIRED), PUT_BACK)
    assert RESERVED.expire(STOCK, now) == RESERVED.commit(STOCK, now) == expired


def test_nothing_expires_before_its_time() -> None:
    assert RESERVED.expire(STOCK, BEFORE) is None


def test_what_is_committed_leaves() -> None:
    tea = StockChanged(Stock(TEA, 7, 2, version=8), Movement(TEA, -3, 7, MovementReason.COMMITTED, ID))
    milk = StockChanged(Stock(MILK, 1, 0, version=5), Movement(MILK, -1, 1, MovementReason.COMMITTED, ID))
    committed = replace(RESERVED, status=ReservationStatus.COMMITTED)
    assert RESERVED.commit(STOCK, BEFORE) == StockCommitted(committed, (tea, milk))


@pytest.mark.parametrize("status", ENDED)
def test_what_has_ended_holds_nothing_and_stays_as_it_is(status: ReservationStatus) -> None:
    ended = replace(RESERVED, status=status)
    assert ended.held == ()
    assert ended.release({}) is None
    assert ended.expire({}, AFTER) is None
    assert ended.commit({}, BEFORE) is None


# Rules


def test_items_are_kept_in_the_order_of_their_products() -> None:
    assert in_order(reversed(ITEMS)) == in_order(ITEMS) == ITEMS


@pytest.mark.parametrize(
    ("items", "fields"),
    [
        ([], ["items"]),
        ([Item(UUID(int=number), 1) for number in range(101)], ["items"]),
        ([Item(TEA, 0)], ["items[0].quantity"]),
        ([Item(TEA, -1)], ["items[0].quantity"]),
        ([Item(TEA, 1), Item(MILK, 1_000_001)], ["items[1].quantity"]),
        ([Item(TEA, 1), Item(MILK, 1), Item(TEA, 2)], ["items[2].product_id"]),
        ([Item(TEA, 0), Item(TEA, 0)], ["items[0].quantity", "items[1].product_id", "items[1].quantity"]),
    ],
)
def test_every_bad_item_is_named(items: list[Item], fields: list[str]) -> None:
    with pytest.raises(Invalid) as refused:
        in_order(items)
    assert [each.field for each in refused.value.fields] == fields


def test_as_many_items_as_allowed() -> None:
    items = [Item(UUID(int=number), 1_000_000) for number in range(100)]
    assert in_order(items) == tuple(items)
