"""One suite for the use cases over both repositories: what the fake promises, PostgreSQL keeps."""

from uuid import UUID

import pytest

from services.inventory.domain.outcomes import CommitOutcome, ReleaseOutcome, ReserveOutcome
from services.inventory.domain.reservations import InventoryRepository, Item, ReserveAnswer, reserve
from services.inventory.domain.stock import MAX_ON_HAND, Movement, MovementReason, Stock
from services.inventory.service import EXPIRED_AT_ONCE, InventoryService, StockOpening
from shared.errors import Conflict, Invalid, NotFound, PreconditionFailed
from shared.events.rebuilt import Rebuilt
from tests.services.inventory.conftest import LIFETIME, Books
from tests.services.inventory.fake_catalogue import FakeCatalogue

ADMIN = UUID(int=0xAD)
TEA, MILK, HONEY, UNKNOWN = (UUID(int=number) for number in (1, 2, 3, 404))
FIRST, SECOND, THIRD = (UUID(int=number) for number in (1001, 1002, 1003))
THREE_TEAS = [Item(TEA, 3)]

OUT_OF_TEA = ReserveAnswer(ReserveOutcome.OUT_OF_STOCK, short_product_ids=(TEA,))
CANCELLED = ReserveAnswer(ReserveOutcome.ALREADY_CANCELLED)
EXPIRED = ReserveAnswer(ReserveOutcome.RESERVATION_EXPIRED)


@pytest.fixture(autouse=True)
async def _goods(inventory: InventoryService) -> None:
    await inventory.count(TEA, 10, ADMIN)
    await inventory.count(MILK, 1, ADMIN)


async def tea(inventory: InventoryService) -> tuple[int, int]:
    """On hand, and set aside."""
    stock = await inventory.get(TEA)
    return stock.on_hand, stock.reserved


# Stock


async def test_what_is_counted_is_found_again(inventory: InventoryService) -> None:
    assert await inventory.count(HONEY, 7, ADMIN) == Stock(HONEY, 7, 0, version=1)
    assert await inventory.get(HONEY) == Stock(HONEY, 7, 0, version=1)
    assert await inventory.count(HONEY, MAX_ON_HAND, ADMIN) == Stock(HONEY, MAX_ON_HAND, 0, version=2)
    assert await inventory.count(HONEY, 0, ADMIN) == Stock(HONEY, 0, 0, version=3)
    assert await inventory.get(HONEY) == Stock(HONEY, 0, 0, version=3)


async def test_products_without_stock_are_not_found(inventory: InventoryService) -> None:
    with pytest.raises(NotFound):
        await inventory.get(UNKNOWN)
    assert await inventory.get_all([UNKNOWN]) == []
    assert await inventory.get_all([]) == []


async def test_many_are_found_at_once(inventory: InventoryService) -> None:
    found = await inventory.get_all([MILK, UNKNOWN, TEA, MILK])
    assert sorted(each.product_id for each in found) == [TEA, MILK]


async def test_a_product_may_have_no_pieces(inventory: InventoryService, books: Books) -> None:
    before = await books()
    assert await inventory.count(HONEY, 0, ADMIN) == Stock(HONEY, 0, 0, version=1)
    assert await inventory.get(HONEY) == Stock(HONEY, 0, 0, version=1)
    assert await books() == before


async def test_counting_the_same_again_changes_nothing(inventory: InventoryService, books: Books) -> None:
    before = await books()
    assert await inventory.count(TEA, 10, ADMIN) == Stock(TEA, 10, 0, version=1)
    assert await books() == before


@pytest.mark.parametrize("on_hand", [-1, MAX_ON_HAND + 1])
async def test_counts_that_cannot_be_are_refused(inventory: InventoryService, on_hand: int) -> None:
    with pytest.raises(Invalid) as refused:
        await inventory.count(TEA, on_hand, ADMIN)
    assert [each.field for each in refused.value.fields] == ["on_hand"]


async def test_there_cannot_be_less_than_what_is_set_aside(inventory: InventoryService) -> None:
    await inventory.reserve(FIRST, THREE_TEAS)
    with pytest.raises(Conflict) as refused:
        await inventory.count(TEA, 2, ADMIN)
    assert refused.value.code == "below-reserved"
    assert await inventory.count(TEA, 3, ADMIN) == Stock(TEA, 3, 3, version=3)


async def test_an_unexpected_version_stops_a_count(inventory: InventoryService) -> None:
    await inventory.count(TEA, 11, ADMIN, lambda version: version == 1)
    with pytest.raises(PreconditionFailed):
        await inventory.count(TEA, 12, ADMIN, lambda version: version == 1)
    with pytest.raises(PreconditionFailed):
        await inventory.count(HONEY, 1, ADMIN, lambda version: version == 1)
    assert await inventory.get_all([TEA, HONEY]) == [Stock(TEA, 11, 0, version=2)]


# Opening


async def test_a_new_product_is_opened_once(
    inventory: InventoryService, opening: StockOpening, books: Books
) -> None:
    before = await books()
    assert [await opening.open(HONEY), await opening.open(HONEY)] == [True, False]
    assert await inventory.get(HONEY) == Stock(HONEY, 0, 0, version=1)
    assert await books() == before


async def test_what_has_been_counted_is_not_opened(
    inventory: InventoryService, opening: StockOpening
) -> None:
    assert not await opening.open(TEA)
    assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=1)


async def test_what_is_opened_is_counted_and_reserved_as_before(
    inventory: InventoryService, opening: StockOpening
) -> None:
    await opening.open(HONEY)
    assert (await inventory.reserve(FIRST, [Item(HONEY, 1)])).outcome is ReserveOutcome.OUT_OF_STOCK
    assert await inventory.count(HONEY, 0, ADMIN) == Stock(HONEY, 0, 0, version=1)
    assert await inventory.count(HONEY, 7, ADMIN) == Stock(HONEY, 7, 0, version=2)


async def test_all_of_a_catalogue_is_opened_but_what_is_known(
    inventory: InventoryService, opening: StockOpening
) -> None:
    catalogue = FakeCatalogue(TEA, HONEY, MILK, UNKNOWN)
    assert await opening.open_all(catalogue) == Rebuilt(seen=4, changed=2)
    assert await opening.open_all(catalogue) == Rebuilt(seen=4, changed=0)
    pieces = {each.product_id: each.on_hand for each in await inventory.get_all([TEA, HONEY, MILK, UNKNOWN])}
    assert pieces == {TEA: 10, HONEY: 0, MILK: 1, UNKNOWN: 0}


# Reserving


async def test_a_reservation_sets_aside_until_it_expires(
    inventory: InventoryService, repository: InventoryRepository
) -> None:
    earliest = await repository.now() + LIFETIME
    answer = await inventory.reserve(FIRST, [Item(MILK, 1), Item(TEA, 3)])
    latest = await repository.now() + LIFETIME
    assert answer.outcome is ReserveOutcome.RESERVED
    assert answer.expires_at is not None
    assert earliest <= answer.expires_at <= latest
    assert await inventory.get(TEA) == Stock(TEA, 10, 3, version=2)
    assert await inventory.get(MILK) == Stock(MILK, 1, 1, version=2)


async def test_all_items_are_set_aside_or_none(inventory: InventoryService) -> None:
    answer = await inventory.reserve(FIRST, [Item(UNKNOWN, 1), Item(TEA, 10), Item(MILK, 2)])
    assert answer == ReserveAnswer(ReserveOutcome.OUT_OF_STOCK, short_product_ids=(MILK, UNKNOWN))
    assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=1)


async def test_a_reserve_sent_again_is_answered_as_before(inventory: InventoryService) -> None:
    items = [Item(TEA, 3), Item(MILK, 1)]
    answer = await inventory.reserve(FIRST, items)
    assert await inventory.reserve(FIRST, items[::-1]) == answer
    await inventory.commit(FIRST)
    assert await inventory.reserve(FIRST, items) == answer
    assert await tea(inventory) == (7, 0)


async def test_a_refusal_is_kept_even_if_stock_has_come(inventory: InventoryService) -> None:
    eleven = [Item(TEA, 11)]
    assert await inventory.reserve(FIRST, eleven) == OUT_OF_TEA
    await inventory.count(TEA, 100, ADMIN)
    assert await inventory.reserve(FIRST, eleven) == OUT_OF_TEA
    assert await inventory.commit(FIRST) is CommitOutcome.NOT_RESERVED
    assert await inventory.release(FIRST) is ReleaseOutcome.RELEASED
    assert await inventory.reserve(FIRST, eleven) == OUT_OF_TEA
    assert await tea(inventory) == (100, 0)


@pytest.mark.parametrize("others", [[Item(TEA, 4)], [Item(MILK, 3)], [Item(TEA, 3), Item(MILK, 1)]])
async def test_an_identifier_is_for_the_same_items_only(
    inventory: InventoryService, others: list[Item]
) -> None:
    answer = await inventory.reserve(FIRST, THREE_TEAS)
    with pytest.raises(Conflict):
        await inventory.reserve(FIRST, others)
    await inventory.commit(FIRST)
    with pytest.raises(Conflict):
        await inventory.reserve(FIRST, others)
    assert await inventory.reserve(FIRST, THREE_TEAS) == answer
    assert await tea(inventory) == (7, 0)


async def test_bad_items_are_refused_before_anything_is_kept(inventory: InventoryService) -> None:
    with pytest.raises(Invalid) as refused:
        await inventory.reserve(FIRST, [Item(TEA, 1), Item(MILK, 0), Item(TEA, 1_000_001)])
    assert [each.field for each in refused.value.fields] == [
        "items[1].quantity",
        "items[2].product_id",
        "items[2].quantity",
    ]
    assert (await inventory.reserve(FIRST, THREE_TEAS)).outcome is ReserveOutcome.RESERVED


# Releasing


async def test_what_is_released_can_be_had_again(inventory: InventoryService) -> None:
    await inventory.reserve(FIRST, THREE_TEAS)
    for _ in range(2):
        assert await inventory.release(FIRST) is ReleaseOutcome.RELEASED
        assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=3)
        assert await inventory.commit(FIRST) is CommitOutcome.ALREADY_CANCELLED
        assert await inventory.reserve(FIRST, THREE_TEAS) == CANCELLED


async def test_a_release_that_comes_first_cancels_what_comes_later(inventory: InventoryService) -> None:
    for _ in range(2):
        assert await inventory.release(FIRST) is ReleaseOutcome.RELEASED
    assert await inventory.commit(FIRST) is CommitOutcome.ALREADY_CANCELLED
    assert await inventory.reserve(FIRST, THREE_TEAS) == CANCELLED
    assert await inventory.reserve(FIRST, [Item(MILK, 1)]) == CANCELLED
    assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=1)


async def test_a_release_after_the_commit_is_too_late(inventory: InventoryService) -> None:
    await inventory.reserve(FIRST, THREE_TEAS)
    await inventory.commit(FIRST)
    for _ in range(2):
        assert await inventory.release(FIRST) is ReleaseOutcome.ALREADY_COMMITTED
    assert await tea(inventory) == (7, 0)


# Committing


async def test_what_is_committed_leaves_once(inventory: InventoryService, books: Books) -> None:
    before = await books()
    await inventory.reserve(FIRST, [Item(TEA, 3), Item(MILK, 1)])
    for _ in range(2):
        assert await inventory.commit(FIRST) is CommitOutcome.COMMITTED
        assert await inventory.get(TEA) == Stock(TEA, 7, 0, version=3)
        assert await inventory.get(MILK) == Stock(MILK, 0, 0, version=3)
    assert (await books())[len(before) :] == [
        Movement(TEA, -3, 7, MovementReason.COMMITTED, FIRST),
        Movement(MILK, -1, 0, MovementReason.COMMITTED, FIRST),
    ]


async def test_committing_what_there_is_not_leaves_no_trace(inventory: InventoryService) -> None:
    assert await inventory.commit(FIRST) is CommitOutcome.NOT_RESERVED
    assert (await inventory.reserve(FIRST, THREE_TEAS)).outcome is ReserveOutcome.RESERVED


# Expiring


async def test_a_commit_that_comes_too_late_expires_the_reservation(
    inventory: InventoryService, hasty: InventoryService, books: Books
) -> None:
    before = await books()
    await hasty.reserve(FIRST, THREE_TEAS)
    for _ in range(2):
        assert await inventory.commit(FIRST) is CommitOutcome.RESERVATION_EXPIRED
        assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=3)
    assert await inventory.reserve(FIRST, THREE_TEAS) == EXPIRED
    assert await inventory.expire_due() == 0
    assert await books() == before


async def test_a_reserve_sent_again_too_late_finds_it_expired(
    inventory: InventoryService, hasty: InventoryService
) -> None:
    assert (await hasty.reserve(FIRST, THREE_TEAS)).outcome is ReserveOutcome.RESERVED
    for _ in range(2):
        assert await inventory.reserve(FIRST, THREE_TEAS) == EXPIRED
    assert await tea(inventory) == (10, 0)
    assert await inventory.commit(FIRST) is CommitOutcome.RESERVATION_EXPIRED


async def test_what_has_expired_stays_so_when_it_is_released(
    inventory: InventoryService, hasty: InventoryService
) -> None:
    await hasty.reserve(FIRST, THREE_TEAS)
    await inventory.expire_due()
    assert await inventory.release(FIRST) is ReleaseOutcome.RELEASED
    assert await inventory.reserve(FIRST, THREE_TEAS) == EXPIRED
    assert await inventory.commit(FIRST) is CommitOutcome.RESERVATION_EXPIRED
    assert await inventory.get(TEA) == Stock(TEA, 10, 0, version=3)


async def test_only_what_is_due_expires(inventory: InventoryService, hasty: InventoryService) -> None:
    for late in (FIRST, SECOND):
        await hasty.reserve(late, [Item(TEA, 2)])
    await inventory.reserve(THIRD, [Item(TEA, 1), Item(MILK, 1)])
    assert await inventory.expire_due() == 2
    assert await inventory.get(TEA) == Stock(TEA, 10, 1, version=6)
    assert await inventory.expire_due() == 0
    assert await inventory.commit(THIRD) is CommitOutcome.COMMITTED
    assert await inventory.commit(FIRST) is CommitOutcome.RESERVATION_EXPIRED


async def test_what_is_due_expires_in_batches(inventory: InventoryService, hasty: InventoryService) -> None:
    await inventory.count(TEA, 100, ADMIN)
    for number in range(EXPIRED_AT_ONCE + 2):
        await hasty.reserve(UUID(int=number), [Item(TEA, 1)])
    assert await inventory.expire_due() == EXPIRED_AT_ONCE
    assert await tea(inventory) == (100, 2)
    assert await inventory.expire_due() == 2
    assert await tea(inventory) == (100, 0)


# The books


async def test_the_books_add_up(inventory: InventoryService, hasty: InventoryService, books: Books) -> None:
    await inventory.reserve(FIRST, THREE_TEAS)
    await inventory.commit(FIRST)
    await inventory.count(TEA, 20, SECOND)
    await inventory.reserve(SECOND, THREE_TEAS)
    await inventory.count(TEA, 5, ADMIN)
    await inventory.release(SECOND)
    await hasty.reserve(THIRD, THREE_TEAS)
    await inventory.expire_due()
    of_tea = [each for each in await books() if each.product_id == TEA]
    assert of_tea == [
        Movement(TEA, 10, 10, MovementReason.SET, ADMIN),
        Movement(TEA, -3, 7, MovementReason.COMMITTED, FIRST),
        Movement(TEA, 13, 20, MovementReason.SET, SECOND),
        Movement(TEA, -15, 5, MovementReason.SET, ADMIN),
    ]
    assert sum(each.difference for each in of_tea) == (await inventory.get(TEA)).on_hand


async def test_a_unit_of_work_is_all_or_nothing(
    inventory: InventoryService, repository: InventoryRepository, books: Books
) -> None:
    before = await books()

    async def reserve_and_fail() -> None:
        async with repository.unit_of_work():
            assert await repository.claim_reservation(FIRST) is None
            stock = await repository.hold_stock([TEA])
            await repository.record(reserve(FIRST, (Item(TEA, 3),), stock, await repository.now()))
            counted = (await repository.claim_stock(HONEY)).counted(5, ADMIN)
            assert counted is not None
            await repository.record(counted)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await reserve_and_fail()
    assert await inventory.get_all([TEA, HONEY]) == [Stock(TEA, 10, 0, version=1)]
    assert await inventory.commit(FIRST) is CommitOutcome.NOT_RESERVED
    assert await books() == before
