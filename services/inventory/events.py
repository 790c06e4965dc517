"""What the inventory reports to other services: domain events → messages of the contracts."""

from google.protobuf.message import Message
from shop.inventory.v1 import events_pb2 as messages
from shop.inventory.v1.inventory_pb2 import Reservation as ReservationMessage
from shop.inventory.v1.inventory_pb2 import ReservationItem, ReservationStatus
from shop.inventory.v1.inventory_pb2 import Stock as StockMessage

from services.inventory.domain.reservations import (
    InventoryEvent,
    Reservation,
    ReservationEvent,
    StockCommitted,
    StockReleased,
    StockReservationExpired,
    StockReservationRefused,
    StockReserved,
)
from services.inventory.domain.stock import Stock, StockChanged
from shared.events.outbox import Report
from shared.rpc.values import timestamp

_KINDS = {
    StockReserved: messages.StockReserved,
    StockReleased: messages.StockReleased,
    StockCommitted: messages.StockCommitted,
    StockReservationExpired: messages.StockReservationExpired,
}


def reports(event: InventoryEvent) -> list[Report]:
    """One of the reservation that it is about, if any, and one of each stock that is another than before."""
    if isinstance(event, StockChanged):
        return [_stock_report(event)]
    reservation_id = str(event.reservation.reservation_id)
    return [Report(reservation_id, _reservation_event(event)), *map(_stock_report, event.changes)]


def stock_message(stock: Stock) -> StockMessage:
    """Stock as other services see it."""
    return StockMessage(
        product_id=str(stock.product_id),
        on_hand=stock.on_hand,
        reserved=stock.reserved,
        available=stock.available,
        version=stock.version,
    )


def reservation_message(reservation: Reservation) -> ReservationMessage:
    """A reservation as other services see it."""
    items = (
        ReservationItem(product_id=str(each.product_id), quantity=each.quantity) for each in reservation.items
    )
    return ReservationMessage(
        reservation_id=str(reservation.reservation_id),
        items=items,
        status=ReservationStatus.Value(f"RESERVATION_STATUS_{reservation.status}"),
        expires_at=timestamp(reservation.expires_at) if reservation.expires_at else None,
    )


def _stock_report(change: StockChanged) -> Report:
    return Report(str(change.stock.product_id), messages.StockChanged(stock=stock_message(change.stock)))


def _reservation_event(event: ReservationEvent) -> Message:
    reservation = reservation_message(event.reservation)
    if isinstance(event, StockReservationRefused):
        short = map(str, event.reservation.short_product_ids)
        return messages.StockReservationRefused(reservation=reservation, short_product_ids=short)
    return _KINDS[type(event)](reservation=reservation)
