"""The domain's repositories in memory: the fakes that pass the same suites as the real things."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

from services.order.domain.articles import Article
from services.order.domain.orders import Order, OrderEvent, OrderItem, OrderPlaced
from shared.errors import Conflict


class MemoryArticleRepository:
    def __init__(self) -> None:
        self.articles: dict[UUID, Article] = {}

    async def keep(self, article: Article) -> bool:
        ours = self.articles.get(article.product_id)
        if ours is not None and (ours == article or ours.version > article.version):
            return False
        self.articles[article.product_id] = article
        return True


class MemoryOrderRepository:
    def __init__(self, articles: MemoryArticleRepository) -> None:
        self.articles = articles
        self.orders: dict[UUID, Order] = {}
        self.events: list[OrderEvent] = []
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[None]:
        async with self._writing:
            before = dict(self.orders), list(self.events)
            try:
                yield
            except BaseException:
                self.orders, self.events = before
                raise

    async def get(self, order_id: UUID) -> Order | None:
        order = self.orders.get(order_id)
        return None if order is None else self._told(order)

    async def hold(self, order_id: UUID) -> Order | None:
        assert self._writing.locked(), "only inside a unit of work"
        await asyncio.sleep(0)  # lets others in, as a database would
        return await self.get(order_id)

    async def page(self, user_id: UUID | None, after: UUID | None, limit: int) -> list[Order]:
        newest_first = sorted(self.orders.values(), key=lambda each: each.order_id, reverse=True)
        return [
            self._told(each)
            for each in newest_first
            if (user_id is None or each.user_id == user_id) and (after is None or each.order_id < after)
        ][:limit]

    async def record(self, event: OrderEvent) -> None:
        order = event.order
        if isinstance(event, OrderPlaced) and order.order_id in self.orders:
            raise Conflict("There is an order with this identifier already.")
        self.orders[order.order_id] = order
        self.events.append(event)

    def _told(self, order: Order) -> Order:
        return replace(order, items=tuple(map(self._item_told, order.items)))

    def _item_told(self, item: OrderItem) -> OrderItem:
        ours = self.articles.articles.get(item.product_id)
        return item if ours is None else replace(item, product_name=ours.name)
