"""One suite for both repositories: copies of the catalogue, and the names that orders tell."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from random import Random
from uuid import UUID

import pytest

from services.order.domain.articles import Article, ArticleRepository
from services.order.domain.orders import Asker, Basket, Order, OrderRepository, WantedItem
from services.order.service.copies import CatalogueCopies
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import Names, OrderService
from shared.errors import Unavailable
from shared.events.rebuilt import Rebuilt
from shared.money import Money
from tests.services.order.conftest import ABROAD, MILK, OLD, TEA
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.place import WAIT_SECONDS, at_work

ALICE = Asker(UUID(int=0xA))
MILK_AND_TEA = (WantedItem(MILK.product_id, 1), WantedItem(TEA.product_id, 2))
LATER_TEA = replace(TEA, name="Green tea", price=Money(1, "KRW"), archived=True, version=3)


@pytest.fixture
def copies(articles: ArticleRepository) -> CatalogueCopies:
    return CatalogueCopies(articles)


async def is_copied(copies: CatalogueCopies, article: Article) -> bool:
    """Whether it is our copy, to the last detail."""
    return not await copies.keep(article)


async def ordered(orders: OrderService) -> Order:
    return await orders.place(await orders.draft(Basket(ALICE.user_id, MILK_AND_TEA)))


def called(order: Order) -> list[str]:
    return [item.product_name for item in order.items]


# Keeping


async def test_what_is_kept_twice_is_different_once(copies: CatalogueCopies) -> None:
    assert await copies.keep(TEA)
    assert not await copies.keep(TEA)
    assert await copies.keep(MILK)
    assert await is_copied(copies, TEA)


async def test_an_older_state_never_replaces_a_newer_one(copies: CatalogueCopies) -> None:
    assert await copies.keep(LATER_TEA)
    assert not await copies.keep(TEA)
    assert not await copies.keep(replace(LATER_TEA, name="Between", version=2))
    assert await is_copied(copies, LATER_TEA)
    newest = replace(TEA, version=4)
    assert await copies.keep(newest)
    assert await is_copied(copies, newest)


async def test_a_new_version_is_kept_even_if_we_see_no_difference(copies: CatalogueCopies) -> None:
    await copies.keep(TEA)
    described_otherwise = replace(TEA, version=2)
    assert await copies.keep(described_otherwise)
    assert not await copies.keep(replace(TEA, name="Tee"))


@pytest.mark.parametrize(
    "damage",
    [{"name": "Coffee"}, {"price": Money(9_801, "KRW")}, {"price": Money(9_800, "USD")}, {"archived": True}],
    ids=["name", "amount", "currency", "archived"],
)
async def test_a_damaged_copy_of_the_same_version_is_mended(
    copies: CatalogueCopies, damage: dict[str, object]
) -> None:
    await copies.keep(replace(TEA, **damage))  # type: ignore[arg-type]
    assert await copies.keep(TEA)
    assert await is_copied(copies, TEA)


@pytest.mark.races
async def test_of_many_that_come_at_once_the_newest_stays(copies: CatalogueCopies) -> None:
    versions = [replace(TEA, name=f"Tea {number}", version=number) for number in range(1, 21)] * 2
    Random(7).shuffle(versions)
    await asyncio.gather(*map(copies.keep, versions))
    assert await is_copied(copies, replace(TEA, name="Tea 20", version=20))


# Names


async def test_orders_tell_what_our_copies_are_called(
    orders: OrderService, repository: OrderRepository, copies: CatalogueCopies
) -> None:
    placed = await ordered(orders)
    await copies.keep(LATER_TEA)
    expected = replace(placed, items=(placed.items[0], replace(placed.items[1], product_name="Green tea")))
    assert await orders.get(placed.order_id, ALICE) == expected
    assert list((await orders.browse(ALICE)).items) == [expected]
    async with repository.unit_of_work():
        assert await repository.hold(placed.order_id) == expected


async def test_an_order_of_what_is_copied_already_is_told_alike(
    orders: OrderService, copies: CatalogueCopies
) -> None:
    for article in (TEA, MILK):
        await copies.keep(article)
    placed = await ordered(orders)
    assert await orders.get(placed.order_id, ALICE) == placed


async def test_the_catalogue_is_asked_first_and_our_copies_are_what_there_is_otherwise(
    orders: OrderService, copies: CatalogueCopies, catalogue: FakeCatalogue
) -> None:
    await ordered(orders)
    await copies.keep(replace(TEA, name="Copied tea"))
    (order,) = (await orders.browse(ALICE)).items
    todays = {MILK.product_id: "Milk 🥛", TEA.product_id: "Tea"}
    assert await orders.names(order) == Names(todays, "product")
    catalogue.be_away()
    assert await orders.names(order) == Names({**todays, TEA.product_id: "Copied tea"}, "copy")


async def test_confirming_changes_no_name(
    orders: OrderService, copies: CatalogueCopies, orchestrator: Orchestrator
) -> None:
    placed = await ordered(orders)
    await copies.keep(LATER_TEA)
    async with at_work(orchestrator):
        assert called(await orders.settled(placed, WAIT_SECONDS)) == ["Milk 🥛", "Green tea"]
    assert called(await orders.get(placed.order_id, ALICE)) == ["Milk 🥛", "Green tea"]


# Rebuilding


async def test_a_rebuild_brings_what_is_missing_and_mends_what_is_different(
    copies: CatalogueCopies, catalogue: FakeCatalogue
) -> None:
    await copies.keep(TEA)
    await copies.keep(replace(MILK, name="Melk"))
    await copies.keep(replace(OLD, version=1, archived=False))
    assert await copies.rebuild(catalogue) == Rebuilt(seen=4, changed=3)
    for article in (TEA, MILK, OLD, ABROAD):
        assert await is_copied(copies, article)
    assert await copies.rebuild(catalogue) == Rebuilt(seen=4, changed=0)


async def test_a_rebuild_takes_back_nothing_that_events_have_brought(copies: CatalogueCopies) -> None:
    class Overtaken(FakeCatalogue):
        async def every_article(self) -> AsyncIterator[Article]:
            async for article in super().every_article():
                await copies.keep(replace(article, name="Newer", version=article.version + 1))
                yield article

    assert await copies.rebuild(Overtaken(TEA, MILK)) == Rebuilt(seen=2, changed=0)
    assert await is_copied(copies, replace(TEA, name="Newer", version=2))


async def test_a_rebuild_without_the_catalogue_fails_and_takes_nothing_away(
    copies: CatalogueCopies, catalogue: FakeCatalogue
) -> None:
    await copies.keep(TEA)
    catalogue.be_away()
    with pytest.raises(Unavailable):
        await copies.rebuild(catalogue)
    assert await is_copied(copies, TEA)
