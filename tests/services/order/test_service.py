"""One suite for the use cases over both repositories: what the fake promises, PostgreSQL keeps."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

import pytest

from services.order.domain.articles import Article
from services.order.domain.fulfilment import SagaRepository
from services.order.domain.orders import (
    Asker,
    Basket,
    Order,
    OrderConfirmed,
    OrderItem,
    OrderPlaced,
    OrderRepository,
    OrderStatus,
    WantedItem,
)
from services.order.saga import ORDER_SAGA
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import NAMES_SECONDS, PRICES_SECONDS, Names, OrderService
from shared.errors import Conflict, DeadlineExceeded, Invalid, NotFound, Unavailable
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule
from shared.saga import Entry, Outcome
from tests.services.order.conftest import MILK, NOON, OLD, TEA, UNKNOWN
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import FakeParticipants
from tests.services.order.memory_repository import MemoryOrderRepository, MemorySagaRepository
from tests.services.order.place import LEASE_SECONDS, WAIT_SECONDS, at_work

ALICE, BOB, ADMIN = Asker(UUID(int=0xA)), Asker(UUID(int=0xB)), Asker(UUID(int=0xAD), is_admin=True)
MILK_AND_TEA = (WantedItem(MILK.product_id, 1), WantedItem(TEA.product_id, 2))


def basket(*items: WantedItem, by: Asker = ALICE, expected: Money | None = None) -> Basket:
    return Basket(by.user_id, items or MILK_AND_TEA, expected)


async def ordered(orders: OrderService, wanted: Basket | None = None) -> Order:
    return await orders.place(await orders.draft(wanted or basket()))


def an_order(number: int, by: Asker = ALICE, status: OrderStatus = OrderStatus.PENDING) -> Order:
    items = (OrderItem(TEA.product_id, "Tea", 1, TEA.price),)
    return Order(UUID(int=number), by.user_id, items, TEA.price, NOON, status)


async def test_what_is_placed_is_found_again(orders: OrderService) -> None:
    placed = await ordered(orders)
    assert placed == Order(
        placed.order_id,
        ALICE.user_id,
        (
            OrderItem(MILK.product_id, "Milk 🥛", 1, Money(2_500, "KRW")),
            OrderItem(TEA.product_id, "Tea", 2, Money(9_800, "KRW")),
        ),
        Money(22_100, "KRW"),
        NOON,
    )
    assert placed.order_id.version == 7
    assert await orders.get(placed.order_id, ALICE) == placed


async def test_the_largest_order_is_kept_as_it_is(orders: OrderService, catalogue: FakeCatalogue) -> None:
    price = Money(MAX_AMOUNT // (50 * 10_000), "KRW")
    articles = [
        Article(UUID(int=number), "녹" * 200, price, archived=False, version=1) for number in range(100, 150)
    ]
    catalogue.offer = {each.product_id: each for each in reversed(articles)}
    placed = await ordered(orders, basket(*(WantedItem(each.product_id, 10_000) for each in articles)))
    assert [each.product_id.int for each in placed.items] == list(range(100, 150))
    assert await orders.get(placed.order_id, ALICE) == placed


async def test_a_draft_is_no_order_yet(orders: OrderService) -> None:
    draft = await orders.draft(basket())
    with pytest.raises(NotFound):
        await orders.get(draft.order_id, ALICE)
    assert (await orders.browse(ADMIN)).items == []


async def test_a_taken_identifier_is_a_conflict(orders: OrderService) -> None:
    await orders.place(an_order(1))
    with pytest.raises(Conflict):
        await orders.place(an_order(1, BOB))
    assert await orders.get(UUID(int=1), ALICE) == an_order(1)


async def test_all_products_are_asked_for_at_once(orders: OrderService, catalogue: FakeCatalogue) -> None:
    await orders.draft(basket())
    assert catalogue.asked == [[MILK.product_id, TEA.product_id]]


async def test_for_what_breaks_a_rule_nobody_is_asked(orders: OrderService, catalogue: FakeCatalogue) -> None:
    tea = WantedItem(TEA.product_id, 1)
    for items in ([], [tea] * 51, [replace(tea, quantity=0)], [tea, tea]):
        with pytest.raises(Invalid):
            await orders.draft(Basket(ALICE.user_id, items))
    with pytest.raises(Invalid):
        await orders.draft(basket(expected=Money(1, "USD")))
    assert catalogue.asked == []


async def test_what_cannot_be_had_is_not_ordered(orders: OrderService) -> None:
    with pytest.raises(Invalid) as refused:
        await orders.draft(basket(WantedItem(UNKNOWN, 1), WantedItem(OLD.product_id, 1)))
    assert [each.field for each in refused.value.fields] == ["items[0].product_id", "items[1].product_id"]


async def test_a_price_that_has_changed_is_a_conflict(orders: OrderService, catalogue: FakeCatalogue) -> None:
    seen = basket(expected=Money(22_100, "KRW"))
    await orders.draft(seen)
    catalogue.offer[TEA.product_id] = replace(TEA, price=Money(9_900, "KRW"))
    with pytest.raises(Conflict, match="22300 KRW") as refused:
        await orders.draft(seen)
    assert refused.value.code == "price-changed"


async def test_an_order_keeps_its_prices(orders: OrderService, catalogue: FakeCatalogue) -> None:
    placed = await ordered(orders)
    catalogue.offer[TEA.product_id] = replace(TEA, name="Green tea", price=Money(1, "KRW"), archived=True)
    assert await orders.get(placed.order_id, ALICE) == placed


async def test_without_prices_there_is_no_order(orders: OrderService, catalogue: FakeCatalogue) -> None:
    catalogue.be_away()
    with pytest.raises(Unavailable):
        await orders.draft(basket())
    catalogue.failure = DeadlineExceeded("The product service has not answered in time.")
    with pytest.raises(DeadlineExceeded):
        await orders.draft(basket())


async def test_prices_are_waited_for_longer_than_names(
    orders: OrderService, catalogue: FakeCatalogue
) -> None:
    placed = await ordered(orders)
    catalogue.takes_seconds = (NAMES_SECONDS + PRICES_SECONDS) / 2
    await orders.draft(basket())
    assert (await orders.names(placed)).source == "copy"
    catalogue.takes_seconds = 2 * PRICES_SECONDS
    with pytest.raises(Unavailable):
        await orders.draft(basket())


async def test_names_are_those_of_today(orders: OrderService, catalogue: FakeCatalogue) -> None:
    placed = await ordered(orders)
    catalogue.rename(TEA.product_id, "Green tea")
    names = {MILK.product_id: "Milk 🥛", TEA.product_id: "Green tea"}
    assert await orders.names(placed) == Names(names, "product")


async def test_what_the_catalogue_no_longer_knows_keeps_its_name(
    orders: OrderService, catalogue: FakeCatalogue
) -> None:
    placed = await ordered(orders)
    catalogue.rename(TEA.product_id, "Green tea")
    del catalogue.offer[MILK.product_id]
    names = {MILK.product_id: "Milk 🥛", TEA.product_id: "Green tea"}
    assert await orders.names(placed) == Names(names, "product")


@pytest.mark.parametrize("failure", [Unavailable("Away."), DeadlineExceeded("Late.")], ids=["away", "late"])
async def test_without_the_catalogue_names_are_those_of_then(
    orders: OrderService, catalogue: FakeCatalogue, failure: Unavailable | DeadlineExceeded
) -> None:
    placed = await ordered(orders)
    catalogue.rename(TEA.product_id, "Green tea")
    catalogue.failure = failure
    names = {MILK.product_id: "Milk 🥛", TEA.product_id: "Tea"}
    assert await orders.names(placed) == Names(names, "copy")


async def test_others_orders_are_not_found(orders: OrderService) -> None:
    placed = await ordered(orders)
    assert await orders.get(placed.order_id, ADMIN) == placed
    with pytest.raises(NotFound) as of_another:
        await orders.get(placed.order_id, BOB)
    with pytest.raises(NotFound) as of_nobody:
        await orders.get(UUID(int=99), BOB)
    assert of_another.value.detail == of_nobody.value.detail


async def test_users_see_their_own_orders_and_admins_all(orders: OrderService) -> None:
    for number, by in enumerate([ALICE, BOB, ALICE, ADMIN], start=1):
        await orders.place(an_order(number, by))

    async def seen(by: Asker) -> list[int]:
        return [each.order_id.int for each in (await orders.browse(by)).items]

    assert await seen(ALICE) == [3, 1]
    assert await seen(BOB) == [2]
    assert await seen(ADMIN) == [4, 3, 2, 1]
    assert await seen(Asker(UUID(int=0xC))) == []


@pytest.mark.parametrize("by", [ALICE, ADMIN], ids=["owner", "admin"])
async def test_pages_follow_each_other_newest_first(orders: OrderService, by: Asker) -> None:
    for number in range(1, 8):
        await orders.place(an_order(number))
    first = await orders.browse(by, limit=3)
    assert list(first.items) == [an_order(number) for number in (7, 6, 5)]
    await orders.place(an_order(100))  # does not move what follows
    second = await orders.browse(by, first.next, 3)
    assert list(second.items) == [an_order(number) for number in (4, 3, 2)]
    last = await orders.browse(by, second.next, 3)
    assert list(last.items) == [an_order(1)]
    assert last.next is None


async def test_a_full_last_page_has_no_next(orders: OrderService) -> None:
    for number in (1, 2):
        await orders.place(an_order(number))
    assert (await orders.browse(ALICE, limit=2)).next is None


async def test_a_list_asks_nobody_for_names(orders: OrderService, catalogue: FakeCatalogue) -> None:
    await orders.place(an_order(1))
    await orders.browse(ALICE)
    assert catalogue.asked == []


async def test_cancelling_twice_is_cancelling_once(orders: OrderService, orchestrator: Orchestrator) -> None:
    placed = await ordered(orders)
    for _ in range(2):
        assert await orders.cancel(placed.order_id, ALICE) == placed  # not all has been undone yet
    cancelled = replace(placed, status=OrderStatus.CANCELLED, reason="requested", version=2)
    async with at_work(orchestrator):
        assert await orders.settled(placed, WAIT_SECONDS) == cancelled
    assert await orders.cancel(placed.order_id, ALICE) == cancelled
    assert await orders.get(placed.order_id, ALICE) == cancelled


@pytest.mark.parametrize("asker", [BOB, ADMIN], ids=["other", "admin"])
async def test_nobody_else_cancels_an_order(orders: OrderService, asker: Asker) -> None:
    placed = await ordered(orders)
    with pytest.raises(NotFound):
        await orders.cancel(placed.order_id, asker)
    with pytest.raises(NotFound):
        await orders.cancel(UUID(int=99), asker)
    assert await orders.get(placed.order_id, ALICE) == placed


async def test_it_is_too_late_to_cancel_what_is_confirmed(
    orders: OrderService, orchestrator: Orchestrator
) -> None:
    placed = await ordered(orders)
    async with at_work(orchestrator):
        confirmed = await orders.settled(placed, WAIT_SECONDS)
    assert confirmed == replace(placed, status=OrderStatus.CONFIRMED, version=2)
    with pytest.raises(Conflict) as refused:
        await orders.cancel(confirmed.order_id, ALICE)
    assert refused.value.code == "order-confirmed"
    assert await orders.get(confirmed.order_id, ALICE) == confirmed


async def test_a_unit_of_work_is_all_or_nothing(orders: OrderService, repository: OrderRepository) -> None:
    placed = await ordered(orders)

    async def cancel_and_fail() -> None:
        async with repository.unit_of_work():
            order = await repository.hold(placed.order_id)
            assert order is not None
            await repository.record(order.cancel("requested"))
            await repository.record(OrderPlaced(an_order(1)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await cancel_and_fail()
    assert list((await orders.browse(ALICE)).items) == [placed]


async def test_who_looks_at_an_order_to_change_it_waits_for_who_does_so_already(
    orders: OrderService, repository: OrderRepository
) -> None:
    placed = await ordered(orders)
    async with repository.unit_of_work():
        order = await repository.hold(placed.order_id)
        assert order is not None
        late = asyncio.create_task(orders.cancel(placed.order_id, ALICE))
        await asyncio.wait([late], timeout=0.1)  # time enough for what should not happen
        cancelled = order.cancel("out_of_stock")
        await repository.record(cancelled)
    assert await late == cancelled.order


@pytest.mark.races
async def test_of_many_that_cancel_at_once_one_does(orders: OrderService, sagas: SagaRepository) -> None:
    placed = await ordered(orders)
    answers = await asyncio.gather(*(orders.cancel(placed.order_id, ALICE) for _ in range(8)))
    assert answers == [placed] * 8
    requested = Entry("reserve_stock", Outcome.ABANDONED, "requested")
    assert await sagas.log_of(placed.order_id) == (Entry("place_order", Outcome.DONE), requested)


async def test_each_write_records_what_has_happened(
    memory: MemoryOrderRepository, catalogue: FakeCatalogue, rules: Mapping[str, Rule]
) -> None:
    working = Orchestrator(
        ORDER_SAGA, memory, MemorySagaRepository(memory), FakeParticipants().both, LEASE_SECONDS
    )
    orders = OrderService(memory, catalogue, working, rules, "KRW", lambda: NOON)
    placed = await ordered(orders)
    async with at_work(working):
        confirmed = await orders.settled(placed, WAIT_SECONDS)
    assert memory.memory.events == [OrderPlaced(placed), OrderConfirmed(confirmed)]
