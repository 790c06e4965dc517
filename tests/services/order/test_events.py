"""What is told of orders, and what is made of what others tell."""

from dataclasses import replace
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.inventory.v1.events_pb2 import StockChanged
from shop.order.v1 import events_pb2 as messages
from shop.product.v1 import events_pb2 as product_events
from shop.product.v1.product_pb2 import Product

from services.order.domain.articles import Article
from services.order.domain.orders import (
    Order,
    OrderCancelled,
    OrderEvent,
    OrderItem,
    OrderPlaced,
    OrderStatus,
)
from services.order.events import order_message, reports
from services.order.handler import ProductEvent, catalogue_subscription
from services.order.main import NAME, consumer_of
from services.order.repository.articles import PostgresArticleRepository
from services.order.service.copies import CatalogueCopies
from shared.db.database import Database
from shared.db.statements import every
from shared.errors import Invalid
from shared.events.bus import Message
from shared.events.consumer import Consumer, Outcome
from shared.events.outbox import Report
from shared.ids import new_id
from shared.money import Money
from tests.services.events import arriving
from tests.services.order.conftest import NOON, TEA

PLACED = Order(
    UUID(int=1), UUID(int=0xA), (OrderItem(TEA.product_id, "Tea", 2, TEA.price),), Money(19_600, "KRW"), NOON
)
CANCELLED = replace(PLACED, status=OrderStatus.CANCELLED, reason="requested", version=2)
ID = str(TEA.product_id)
OF_A_PRODUCT = get_args(ProductEvent)


# Ours


def test_an_event_tells_all_of_its_order() -> None:
    placed = messages.OrderPlaced(order=order_message(PLACED))
    cancelled = messages.OrderCancelled(order=order_message(CANCELLED))
    assert reports(OrderPlaced(PLACED)) == [Report(str(PLACED.order_id), placed)]
    assert reports(OrderCancelled(CANCELLED)) == [Report(str(PLACED.order_id), cancelled)]
    assert (placed.order.version, cancelled.order.version, cancelled.order.reason) == (1, 2, "requested")


@pytest.mark.parametrize("kind", get_args(OrderEvent))
def test_every_event_is_told_under_its_own_name(kind: Any) -> None:
    (report,) = reports(kind(PLACED))
    assert report.message.DESCRIPTOR.name == kind.__name__


# The catalogue's


def product(version: int = 1, product_id: str = ID, name: str = "Tea", **other: Any) -> Product:
    price = MoneyMessage(amount=9_800, currency="KRW")
    return Product(**{"product_id": product_id, "name": name, "price": price, "version": version, **other})


def event(contents: Product, kind: Any = product_events.ProductCreated) -> Message:
    return arriving(kind(product=contents), "product", contents.product_id)


async def copied(database: Database) -> list[Article]:
    query = "SELECT product_id, name, amount, currency, archived, version FROM articles ORDER BY product_id"
    return [
        Article(product_id, name, Money(amount, currency), archived, version)
        for product_id, name, amount, currency, archived, version in await every(database, query)
    ]


@pytest.fixture
def consumer(database: Database) -> Consumer:
    return consumer_of(database)


@pytest.mark.parametrize("kind", OF_A_PRODUCT)
async def test_whatever_becomes_of_a_product_brings_all_of_it(
    consumer: Consumer, database: Database, kind: Any
) -> None:
    assert await consumer.take(event(product())) is Outcome.APPLIED
    assert await copied(database) == [TEA]
    price = MoneyMessage(amount=7, currency="USD")
    changed = product(2, name="Green tea", price=price, archived=True)
    assert await consumer.take(event(changed, kind)) is Outcome.APPLIED
    green = Article(TEA.product_id, "Green tea", Money(7, "USD"), archived=True, version=2)
    assert await copied(database) == [green]


def test_every_event_of_a_product_is_wanted() -> None:
    told = {each.name for each in product_events.DESCRIPTOR.message_types_by_name.values()}
    assert told == {each.__name__ for each in OF_A_PRODUCT}


async def test_an_event_that_comes_again_is_known(consumer: Consumer, database: Database) -> None:
    first = event(product())
    assert [await consumer.take(first), await consumer.take(first)] == [Outcome.APPLIED, Outcome.ALREADY]
    assert await copied(database) == [TEA]


async def test_an_older_event_after_a_newer_one_changes_nothing(
    consumer: Consumer, database: Database
) -> None:
    await consumer.take(event(product(3, name="Newest")))
    assert await consumer.take(event(product(2, name="Late"))) is Outcome.APPLIED
    assert [each.name for each in await copied(database)] == ["Newest"]


@pytest.mark.parametrize("text", ["", "7", f"{{{ID}}}"])
async def test_what_names_no_product_is_refused(consumer: Consumer, database: Database, text: str) -> None:
    named_badly = arriving(product_events.ProductCreated(product=product(product_id=text)), "product", ID)
    with pytest.raises(Invalid) as refused:
        await consumer.take(named_badly)
    assert [each.field for each in refused.value.fields] == ["product.product_id"]
    assert await copied(database) == []


@pytest.mark.parametrize(
    "nonsense",
    [{"version": 0}, {"price": None}, {"price": MoneyMessage(amount=-1, currency="KRW")}],
    ids=["no version", "no price", "a negative price"],
)
async def test_what_is_no_product_is_refused_by_the_database(
    consumer: Consumer, database: Database, nonsense: dict[str, Any]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        await consumer.take(event(product(**nonsense)))
    assert await copied(database) == []


async def test_what_cannot_be_taken_in_is_parked_and_the_next_has_its_turn(database: Database) -> None:
    copies = CatalogueCopies(PostgresArticleRepository(database))
    consumer = Consumer(database, NAME, [catalogue_subscription(copies)], pauses=())
    await consumer.handle(event(product(product_id="tea")))
    await consumer.handle(event(product()))
    (letter,) = await consumer.dead_letters.every()
    assert letter.message.key == "tea"
    assert "product.product_id" in letter.error
    assert await copied(database) == [TEA]


async def test_other_events_are_none_of_our_business(consumer: Consumer) -> None:
    other = arriving(StockChanged(), "product", ID, new_id())
    assert await consumer.take(other) is Outcome.IGNORED
