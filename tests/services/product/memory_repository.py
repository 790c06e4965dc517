"""The domain's ProductRepository in memory: the fake that passes the same suite as the real thing."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

from services.product.domain import Product, ProductCreated, ProductEvent, searchable_text
from shared.errors import Conflict


class MemoryProductRepository:
    def __init__(self) -> None:
        self.products: dict[UUID, Product] = {}
        self.events: list[ProductEvent] = []
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[None]:
        async with self._writing:
            before = dict(self.products), list(self.events)
            try:
                yield
            except BaseException:
                self.products, self.events = before
                raise

    async def get(self, product_id: UUID) -> Product | None:
        return self.products.get(product_id)

    async def get_all(self, product_ids: Sequence[UUID]) -> list[Product]:
        return [self.products[each] for each in product_ids if each in self.products]

    async def hold(self, product_id: UUID) -> Product | None:
        assert self._writing.locked(), "only inside a unit of work"
        await asyncio.sleep(0)  # lets others in, as a database would
        return self.products.get(product_id)

    async def page(self, key: str, after: UUID | None, limit: int) -> list[Product]:
        newest_first = sorted(self.products.values(), key=lambda each: each.product_id, reverse=True)
        return [
            each
            for each in newest_first
            if not each.archived
            and (after is None or each.product_id < after)
            and key in searchable_text(each)
        ][:limit]

    async def page_of_all(self, after: UUID | None, limit: int) -> list[Product]:
        oldest_first = sorted(self.products.values(), key=lambda each: each.product_id)
        return [each for each in oldest_first if after is None or each.product_id > after][:limit]

    async def record(self, event: ProductEvent) -> None:
        product = event.product
        if isinstance(event, ProductCreated) and product.product_id in self.products:
            raise Conflict("There is a product with this identifier already.")
        self.products[product.product_id] = product
        self.events.append(event)
