"""Purchases out of three databases, many at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from psycopg.rows import TupleRow

from scripts.support.invariants.purchases import Items, Payment, Purchase, Reservation, Saga
from scripts.support.invariants.snapshots import Snapshot
from services.order.clients import payment_of, reservation_of
from shared.saga import Entry, Outcome

_ORDERS = """
    SELECT order_id, user_id::text, amount, currency, status, reason,
        placed_at < now() - make_interval(secs => %s),
        (SELECT json_agg(json_build_array(product_id, quantity))
         FROM order_items WHERE order_items.order_id = orders.order_id),
        sagas.position, due_at IS NULL,
        (SELECT json_agg(json_build_array(saga_log.position, action, outcome, saga_log.reason)
                         ORDER BY saga_log.position)
         FROM saga_log WHERE saga_log.order_id = orders.order_id)
    FROM orders LEFT JOIN sagas USING (order_id)"""
_PAYMENTS = """
    SELECT payment_id::text, status, user_id::text, amount, currency
    FROM payments WHERE payment_id = ANY(%s::uuid[])"""
_RESERVATIONS = """
    SELECT reservation_id::text, status,
        (SELECT json_agg(json_build_array(product_id, quantity))
         FROM reservation_items WHERE reservation_items.reservation_id = reservations.reservation_id)
    FROM reservations WHERE reservation_id = ANY(%s::uuid[])"""


def purchases(order: Snapshot, payment: Snapshot, inventory: Snapshot, age: float) -> Iterator[Purchase]:
    """Every order, with what all three know of it. It is late when it was placed `age` seconds ago."""
    for batch in order.batches(_ORDERS, [age]):
        payments = _payments(payment, [payment_of(row[0]) for row in batch])
        reservations = _reservations(inventory, [reservation_of(row[0]) for row in batch])
        for row in batch:
            yield replace(
                _purchase(row),
                payment=payments.get(payment_of(row[0])),
                reservation=reservations.get(reservation_of(row[0])),
            )


def _payments(payment: Snapshot, ids: Sequence[str]) -> dict[str, Payment]:
    return {row[0]: Payment(*row[1:]) for row in payment.every(_PAYMENTS, [ids])}


def _reservations(inventory: Snapshot, ids: Sequence[str]) -> dict[str, Reservation]:
    rows = inventory.every(_RESERVATIONS, [ids])
    return {name: Reservation(status, _items(items)) for name, status, items in rows}


def _purchase(row: TupleRow) -> Purchase:
    """What order knows of it."""
    order_id, user_id, amount, currency, status, reason, is_late, items, position, has_ended, log = row
    saga = None if position is None else Saga(position, has_ended, tuple(map(_numbered, log or ())))
    return Purchase(order_id, user_id, amount, currency, status, reason, is_late, _items(items), saga)


def _items(pairs: list[list[Any]] | None) -> Items:
    return frozenset((product_id, quantity) for product_id, quantity in pairs or ())


def _numbered(columns: Sequence[Any]) -> tuple[int, Entry]:
    position, action, outcome, reason = columns
    return position, Entry(action, Outcome(outcome), reason)
