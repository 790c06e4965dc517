"""What is told of the inventory, and what is made of what the catalogue tells."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.message import Message as ProtobufMessage
from shop.inventory.v1 import events_pb2 as messages
from shop.inventory.v1 import inventory_pb2 as pb
from shop.product.v1.events_pb2 import ProductArchived, ProductCreated
from shop.product.v1.product_pb2 import Product

from services.inventory.domain.outcomes import ReservationStatus
from services.inventory.domain.reservations import (
    Item,
    Reservation,
    ReservationEvent,
    StockCommitted,
    StockReleased,
    StockReservationExpired,
    StockReservationRefused,
    StockReserved,
    cancel_in_advance,
)
from services.inventory.domain.stock import Stock, StockChanged
from services.inventory.events import reports, reservation_message, stock_message
from services.inventory.handler import catalogue_subscription
from services.inventory.main import NAME, consumer_of
from services.inventory.service import InventoryService, StockOpening
from shared.db.database import Database
from shared.errors import Invalid
from shared.events.bus import Message
from shared.events.consumer import Consumer, Outcome
from shared.events.outbox import Report
from shared.rpc.values import timestamp
from tests.services.events import arriving, in_the_outbox
from tests.services.inventory.conftest import LIFETIME, inventory_in

TEA, MILK, ADMIN = UUID(int=1), UUID(int=2), UUID(int=0xAD)
ID = UUID(int=1001)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ITEMS = (Item(TEA, 3), Item(MILK, 1))
CHANGES = (StockChanged(Stock(TEA, 10, 3, version=8)), StockChanged(Stock(MILK, 2, 1, version=5)))


# Ours


def test_stock_is_told_whole() -> None:
    told = pb.Stock(product_id=str(TEA), on_hand=10, reserved=3, available=7, version=8)
    assert stock_message(CHANGES[0].stock) == told
    assert reports(CHANGES[0]) == [Report(str(TEA), messages.StockChanged(stock=told))]


@pytest.mark.parametrize("status", ReservationStatus)
def test_a_reservation_is_told_whole(status: ReservationStatus) -> None:
    assert reservation_message(Reservation(ID, ITEMS, status, NOON)) == pb.Reservation(
        reservation_id=str(ID),
        items=[
            pb.ReservationItem(product_id=str(TEA), quantity=3),
            pb.ReservationItem(product_id=str(MILK), quantity=1),
        ],
        status=pb.ReservationStatus.Value(f"RESERVATION_STATUS_{status}"),
        expires_at=timestamp(NOON),
    )


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (StockReserved, ReservationStatus.RESERVED),
        (StockReleased, ReservationStatus.RELEASED),
        (StockCommitted, ReservationStatus.COMMITTED),
        (StockReservationExpired, ReservationStatus.EXPIRED),
    ],
)
def test_a_reservation_and_its_stock_are_told_together(kind: Any, status: ReservationStatus) -> None:
    reservation = Reservation(ID, ITEMS, status, NOON)
    told = getattr(messages, kind.__name__)(reservation=reservation_message(reservation))
    stock = [Report(str(each.stock.product_id), stock_told(each)) for each in CHANGES]
    assert reports(kind(reservation, CHANGES)) == [Report(str(ID), told), *stock]


def stock_told(change: StockChanged) -> ProtobufMessage:
    return messages.StockChanged(stock=stock_message(change.stock))


def test_a_refusal_names_what_is_short() -> None:
    refused = Reservation(ID, ITEMS, ReservationStatus.REFUSED, short_product_ids=(TEA,))
    told = messages.StockReservationRefused(
        reservation=reservation_message(refused), short_product_ids=[str(TEA)]
    )
    assert not told.reservation.HasField("expires_at")
    assert reports(StockReservationRefused(refused)) == [Report(str(ID), told)]


def test_what_was_cancelled_in_advance_is_released() -> None:
    reservation = pb.Reservation(reservation_id=str(ID), status=pb.RESERVATION_STATUS_RELEASED)
    (report,) = reports(cancel_in_advance(ID))
    assert report == Report(str(ID), messages.StockReleased(reservation=reservation))


def test_the_contract_knows_every_event() -> None:
    ours: set[type] = {StockChanged, *ReservationEvent.__subclasses__()}
    assert {each.__name__ for each in ours} == {*messages.DESCRIPTOR.message_types_by_name}


# The catalogue's


def created(product_id: str = str(TEA), version: int = 1) -> Message:
    product = Product(product_id=product_id, name="Tea", version=version)
    return arriving(ProductCreated(product=product), "product", product_id)


@pytest.fixture
def consumer(database: Database) -> Consumer:
    return consumer_of(database)


@pytest.fixture
def stock(database: Database) -> InventoryService:
    return InventoryService(inventory_in(database), LIFETIME)


async def test_a_new_product_is_opened_and_that_is_told(
    consumer: Consumer, stock: InventoryService, database: Database
) -> None:
    event = created()
    assert [await consumer.take(event), await consumer.take(event)] == [Outcome.APPLIED, Outcome.ALREADY]
    assert await stock.get(TEA) == Stock(TEA, version=1)
    assert [each.type for each in await in_the_outbox(database)] == ["shop.inventory.v1.StockChanged"]


async def test_what_has_stock_already_keeps_it(
    consumer: Consumer, stock: InventoryService, database: Database
) -> None:
    counted = await stock.count(TEA, 10, ADMIN)
    assert await consumer.take(created()) is Outcome.APPLIED
    assert await stock.get(TEA) == counted
    assert len(await in_the_outbox(database)) == 1


async def test_what_else_becomes_of_a_product_is_none_of_our_business(
    consumer: Consumer, stock: InventoryService
) -> None:
    archived = ProductArchived(product=Product(product_id=str(TEA), version=2, archived=True))
    assert await consumer.take(arriving(archived, "product", str(TEA))) is Outcome.IGNORED
    assert await stock.get_all([TEA]) == []


@pytest.mark.parametrize("text", ["", "7", f"{{{TEA}}}"])
async def test_what_names_no_product_is_refused(consumer: Consumer, database: Database, text: str) -> None:
    with pytest.raises(Invalid) as refused:
        await consumer.take(created(text))
    assert [each.field for each in refused.value.fields] == ["product.product_id"]
    assert await in_the_outbox(database) == []


async def test_what_cannot_be_taken_in_is_parked_and_the_next_has_its_turn(
    stock: InventoryService, database: Database
) -> None:
    subscription = catalogue_subscription(StockOpening(inventory_in(database)))
    consumer = Consumer(database, NAME, [subscription], pauses=())
    await consumer.handle(created("tea"))
    await consumer.handle(created())
    (letter,) = await consumer.dead_letters.every()
    assert letter.message.key == "tea"
    assert "product.product_id" in letter.error
    assert await stock.get(TEA) == Stock(TEA, version=1)
