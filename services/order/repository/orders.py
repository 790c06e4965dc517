"""Orders in PostgreSQL. What is recorded of them is reported, in the same transaction."""

from collections import defaultdict
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from services.order.domain.orders import Order, OrderEvent, OrderItem, OrderPlaced, OrderStatus
from services.order.events import reports
from shared.db.database import Database
from shared.db.statements import PAST_THE_NEWEST, every, execute
from shared.errors import Conflict
from shared.events.outbox import Outbox
from shared.money import Money

_SELECT = """
    SELECT order_id, user_id, amount, currency, placed_at, status, reason, version
    FROM orders"""
_GET = _SELECT + " WHERE order_id = %s"
_LOCK = _GET + " FOR UPDATE"
_PAGE_OF_ALL = _SELECT + " WHERE order_id < %(after)s ORDER BY order_id DESC LIMIT %(limit)s"
_PAGE_OF_USER = (
    _SELECT
    + """
    WHERE user_id = %(user_id)s AND order_id < %(after)s ORDER BY order_id DESC LIMIT %(limit)s"""
)
_ITEMS = """
    SELECT order_id, product_id, coalesce(articles.name, product_name), quantity,
        order_items.amount, orders.currency
    FROM order_items JOIN orders USING (order_id) LEFT JOIN articles USING (product_id)
    WHERE order_id = ANY(%s) ORDER BY order_id, position"""

_INSERT = """
    INSERT INTO orders (order_id, user_id, amount, currency, placed_at, status, reason, version)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
_INSERT_ITEMS = """
    INSERT INTO order_items (order_id, position, product_id, product_name, quantity, amount)
    SELECT %s, * FROM unnest(%s::int[], %s::uuid[], %s::text[], %s::bigint[], %s::bigint[])"""
_UPDATE = """
    UPDATE orders SET (status, reason, version, changed_at) = (%s, %s, %s, now()) WHERE order_id = %s"""


class PostgresOrderRepository:
    """The domain's OrderRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def get(self, order_id: UUID) -> Order | None:
        """By primary key."""
        return await self._one(_GET, order_id)

    async def hold(self, order_id: UUID) -> Order | None:
        """By primary key; the row stays locked until the transaction ends."""
        return await self._one(_LOCK, order_id)

    async def page(self, user_id: UUID | None, after: UUID | None, limit: int) -> list[Order]:
        """By keyset, over the index of a user's orders."""
        values = {"user_id": user_id, "after": after or PAST_THE_NEWEST, "limit": limit}
        query = _PAGE_OF_USER if user_id else _PAGE_OF_ALL
        return await self._with_items(await every(self._database, query, values))

    async def record(self, event: OrderEvent) -> None:
        """Write the state that the event carries, then the report of it, while the row is locked."""
        async with self._database.transaction(type(event).__name__):
            if isinstance(event, OrderPlaced):
                await self._insert(event.order)
            else:
                await self._update(event.order)
            await self._outbox.add(reports(event))

    async def _insert(self, order: Order) -> None:
        try:
            await execute(self._database, _INSERT, _row(order))
        except psycopg.errors.UniqueViolation as taken:
            raise Conflict("There is an order with this identifier already.") from taken
        await execute(self._database, _INSERT_ITEMS, _columns(order))

    async def _update(self, order: Order) -> None:
        await execute(self._database, _UPDATE, [order.status, order.reason, order.version, order.order_id])

    async def _one(self, query: str, order_id: UUID) -> Order | None:
        found = await self._with_items(await every(self._database, query, [order_id]))
        return found[0] if found else None

    async def _with_items(self, rows: Sequence[TupleRow]) -> list[Order]:
        """The orders that `rows` begin; items never change, so a second statement finds those that belong."""
        items: defaultdict[UUID, list[OrderItem]] = defaultdict(list)
        for order_id, *columns in await every(self._database, _ITEMS, [[row[0] for row in rows]]):
            items[order_id].append(_item(columns))
        return [_order(row, items[row[0]]) for row in rows]


def _order(row: TupleRow, items: Sequence[OrderItem]) -> Order:
    order_id, user_id, amount, currency, placed_at, status, reason, version = row
    total = Money(amount, currency)
    return Order(order_id, user_id, tuple(items), total, placed_at, OrderStatus(status), reason, version)


def _item(columns: Sequence[Any]) -> OrderItem:
    product_id, name, quantity, amount, currency = columns
    return OrderItem(product_id, name, quantity, Money(amount, currency))


def _row(order: Order) -> tuple[object, ...]:
    """The values of _INSERT, in their order."""
    total = (order.total.amount, order.total.currency)
    return (order.order_id, order.user_id, *total, order.placed_at, order.status, order.reason, order.version)


def _columns(order: Order) -> list[object]:
    """The values of _INSERT_ITEMS, in their order: one list a column."""
    items = order.items
    return [
        order.order_id,
        list(range(len(items))),
        [item.product_id for item in items],
        [item.product_name for item in items],
        [item.quantity for item in items],
        [item.unit_price.amount for item in items],
    ]
