"""Stock and reservations in PostgreSQL: rows ↔ domain. What is recorded is reported, in the same transaction.

Rows are locked in one order: the reservation's, then those of its stock, sorted by product. A statement sees
what there was when it began, so what belongs to a row is read by another one, after the lock was granted.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from services.inventory.domain.outcomes import ReservationStatus
from services.inventory.domain.reservations import (
    InventoryEvent,
    Item,
    Reservation,
    ReservationEvent,
    StockReservationRefused,
    StockReserved,
)
from services.inventory.domain.stock import Movement, Stock, StockChanged
from services.inventory.events import reports
from shared.db.database import Database
from shared.db.statements import Values, every, execute, now
from shared.events.outbox import Outbox

_GET_STOCK = "SELECT product_id, on_hand, reserved, version FROM stock WHERE product_id = ANY(%s)"
_HOLD_STOCK = _GET_STOCK + " ORDER BY product_id FOR UPDATE"
_CLAIM_STOCK = "INSERT INTO stock (product_id) VALUES (%s) ON CONFLICT DO NOTHING"
_CHANGE_STOCK = """
    UPDATE stock
    SET (on_hand, reserved, version, changed_at)
      = (changed.on_hand, changed.reserved, changed.version, clock_timestamp())
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bigint[])
      AS changed (product_id, on_hand, reserved, version)
    WHERE stock.product_id = changed.product_id"""
_ADD_MOVEMENTS = """
    INSERT INTO movements (product_id, difference, on_hand, reason, set_by, reservation_id)
    SELECT product_id, difference, on_hand, reason,
        CASE reason WHEN 'set' THEN cause END, CASE reason WHEN 'committed' THEN cause END
    FROM unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::text[], %s::uuid[])
      AS movement (product_id, difference, on_hand, reason, cause)"""

_RESERVATION = "SELECT reservation_id, status, expires_at, short_product_ids FROM reservations"
_HOLD_RESERVATION = _RESERVATION + " WHERE reservation_id = %s FOR UPDATE"
_CLAIM_RESERVATION = "INSERT INTO reservations (reservation_id) VALUES (%s) ON CONFLICT DO NOTHING"
# The time at which the transaction began will do, and can be looked up in the index.
_HOLD_DUE = (
    _RESERVATION
    + " WHERE status = 'RESERVED' AND expires_at <= now() ORDER BY expires_at LIMIT %s FOR UPDATE SKIP LOCKED"
)
_CHANGE_RESERVATION = """
    UPDATE reservations
    SET (status, expires_at, short_product_ids, changed_at) = (%s, %s, %s::uuid[], clock_timestamp())
    WHERE reservation_id = %s"""
_GET_ITEMS = """
    SELECT reservation_id, product_id, quantity FROM reservation_items
    WHERE reservation_id = ANY(%s) ORDER BY product_id"""
_ADD_ITEMS = """
    INSERT INTO reservation_items (reservation_id, product_id, quantity)
    SELECT %s, product_id, quantity FROM unnest(%s::uuid[], %s::bigint[]) AS item (product_id, quantity)"""


class PostgresInventoryRepository:
    """The domain's InventoryRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def now(self) -> datetime:
        """The database's clock, whenever the transaction may have begun."""
        return await now(self._database)

    async def get_stock(self, product_ids: Sequence[UUID]) -> list[Stock]:
        """By primary key."""
        return [Stock(*row) for row in await every(self._database, _GET_STOCK, [list(product_ids)])]

    async def hold_stock(self, product_ids: Iterable[UUID]) -> dict[UUID, Stock]:
        """The rows stay locked until the transaction ends."""
        stock = {product_id: Stock(product_id) for product_id in product_ids}
        if stock:
            rows = await every(self._database, _HOLD_STOCK, [list(stock)])
            stock.update((row[0], Stock(*row)) for row in rows)
        return stock

    async def claim_stock(self, product_id: UUID) -> Stock:
        """Of several transactions that make the row, all but the first wait here."""
        await execute(self._database, _CLAIM_STOCK, [product_id])
        return (await self.hold_stock([product_id]))[product_id]

    async def hold_reservation(self, reservation_id: UUID) -> Reservation | None:
        """The row stays locked until the transaction ends."""
        found = await self._reservations(_HOLD_RESERVATION, [reservation_id])
        return found[0] if found else None

    async def claim_reservation(self, reservation_id: UUID) -> Reservation | None:
        """Of several transactions that make the row, all but the first wait here."""
        if await execute(self._database, _CLAIM_RESERVATION, [reservation_id]):
            return None
        return await self.hold_reservation(reservation_id)

    async def hold_due_reservations(self, limit: int) -> list[Reservation]:
        """By the index of those that are RESERVED; rows that are locked already are passed over."""
        return await self._reservations(_HOLD_DUE, [limit])

    async def record(self, event: InventoryEvent) -> None:
        """Write the state that the event carries, then the reports of it, while the rows are locked."""
        async with self._database.transaction(type(event).__name__):
            if isinstance(event, StockChanged):
                await self._change_stock([event])
            else:
                await self._change_reservation(event)
            await self._outbox.add(reports(event))

    async def _change_reservation(self, event: ReservationEvent) -> None:
        await execute(self._database, _CHANGE_RESERVATION, _row(event.reservation))
        if isinstance(event, StockReserved | StockReservationRefused):
            await self._add_items(event.reservation)
        if event.changes:
            await self._change_stock(event.changes)

    async def _change_stock(self, changes: Sequence[StockChanged]) -> None:
        stock = [each.stock for each in changes]
        states = [(each.product_id, each.on_hand, each.reserved, each.version) for each in stock]
        await execute(self._database, _CHANGE_STOCK, _columns(states))
        movements = [_entry(each.movement) for each in changes if each.movement is not None]
        if movements:
            await execute(self._database, _ADD_MOVEMENTS, _columns(movements))

    async def _add_items(self, reservation: Reservation) -> None:
        items = [(each.product_id, each.quantity) for each in reservation.items]
        await execute(self._database, _ADD_ITEMS, [reservation.reservation_id, *_columns(items)])

    async def _reservations(self, query: str, values: Values) -> list[Reservation]:
        """Those that `query` finds and locks, with their items."""
        found = await every(self._database, query, values)
        items: dict[UUID, list[Item]] = {row[0]: [] for row in found}
        if items:
            for reservation_id, product_id, quantity in await every(
                self._database, _GET_ITEMS, [list(items)]
            ):
                items[reservation_id].append(Item(product_id, quantity))
        return [_reservation(row, items[row[0]]) for row in found]


def _reservation(row: TupleRow, items: Iterable[Item]) -> Reservation:
    reservation_id, status, expires_at, short_product_ids = row
    return Reservation(
        reservation_id, tuple(items), ReservationStatus(status), expires_at, tuple(short_product_ids)
    )


def _row(reservation: Reservation) -> tuple[object, ...]:
    """The values of _CHANGE_RESERVATION, in their order."""
    short = list(reservation.short_product_ids)
    return (reservation.status.value, reservation.expires_at, short, reservation.reservation_id)


def _entry(movement: Movement) -> tuple[object, ...]:
    """The columns of _ADD_MOVEMENTS, in their order."""
    amounts = (movement.difference, movement.on_hand)
    return (movement.product_id, *amounts, movement.reason.value, movement.by)


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    """`rows` as one list for each of their columns, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]
