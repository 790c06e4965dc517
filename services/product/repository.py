"""Products in PostgreSQL: rows ↔ domain. What is recorded is reported, in the same transaction."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow

from services.product.domain import Product, ProductCreated, ProductEvent, searchable_text
from services.product.events import reports
from shared.db.database import Database
from shared.db.statements import PAST_THE_NEWEST, every, execute, one
from shared.errors import Conflict
from shared.events.outbox import Outbox
from shared.money import Money

_BEFORE_THE_OLDEST = UUID(int=0)

_SELECT = """
    SELECT product_id, name, description, amount, currency, version, archived
    FROM products"""
_GET = _SELECT + " WHERE product_id = %s"
_GET_ALL = _SELECT + " WHERE product_id = ANY(%s)"
_LOCK = _GET + " FOR UPDATE"
_PAGE_OF_ALL = _SELECT + " WHERE product_id > %s ORDER BY product_id LIMIT %s"

_ON_OFFER = _SELECT + " WHERE NOT archived AND product_id < %(after)s"
_IN_ORDER = " ORDER BY product_id DESC LIMIT %(limit)s"
_PAGE = _ON_OFFER + _IN_ORDER
# The index finds rows that have all the pairs of neighbouring characters of the key, strpos the key itself.
_MATCHES = """
    AND character_pairs(search_text) @> character_pairs(%(key)s) AND strpos(search_text, %(key)s) > 0"""
_SEARCH = _ON_OFFER + _MATCHES + _IN_ORDER

_INSERT = """
    INSERT INTO products (name, description, amount, currency, version, archived, search_text, product_id)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"""
_UPDATE = """
    UPDATE products
    SET (name, description, amount, currency, version, archived, search_text, changed_at)
      = (%s, %s, %s, %s, %s, %s, %s, now())
    WHERE product_id = %s"""


class PostgresProductRepository:
    """The domain's ProductRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def get(self, product_id: UUID) -> Product | None:
        """By primary key."""
        return await self._one(_GET, product_id)

    async def get_all(self, product_ids: Sequence[UUID]) -> list[Product]:
        """By primary key, all at once."""
        return [_product(row) for row in await every(self._database, _GET_ALL, [list(product_ids)])]

    async def hold(self, product_id: UUID) -> Product | None:
        """By primary key; the row stays locked until the transaction ends."""
        return await self._one(_LOCK, product_id)

    async def page(self, key: str, after: UUID | None, limit: int) -> list[Product]:
        """By keyset: a page deep down costs no more than the first one."""
        values = {"key": key, "after": after or PAST_THE_NEWEST, "limit": limit}
        return [_product(row) for row in await every(self._database, _SEARCH if key else _PAGE, values)]

    async def page_of_all(self, after: UUID | None, limit: int) -> list[Product]:
        """By keyset, along the primary key."""
        values = [after or _BEFORE_THE_OLDEST, limit]
        return [_product(row) for row in await every(self._database, _PAGE_OF_ALL, values)]

    async def record(self, event: ProductEvent) -> None:
        """Write the state that the event carries, then what is reported of it, while the row is locked."""
        async with self._database.transaction():
            await self._write(event)
            await self._outbox.add(reports(event))

    async def _write(self, event: ProductEvent) -> None:
        statement = _INSERT if isinstance(event, ProductCreated) else _UPDATE
        try:
            await execute(self._database, statement, _row(event.product))
        except psycopg.errors.UniqueViolation as taken:
            raise Conflict("There is a product with this identifier already.") from taken

    async def _one(self, query: str, product_id: UUID) -> Product | None:
        row = await one(self._database, query, [product_id])
        return None if row is None else _product(row)


def _product(row: TupleRow) -> Product:
    product_id, name, description, amount, currency, version, archived = row
    return Product(product_id, name, description, Money(amount, currency), version, archived)


def _row(product: Product) -> tuple[object, ...]:
    """The values of _INSERT and _UPDATE, in their order."""
    price = (product.price.amount, product.price.currency)
    state = (product.version, product.archived, searchable_text(product))
    return (product.name, product.description, *price, *state, product.product_id)
