"""The domain's OrderRepository in memory: the fake that passes the same suite as the real thing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from services.order.domain import Order, OrderEvent, OrderPlaced
from shared.errors import Conflict


class MemoryOrderRepository:
    def __init__(self) -> None:
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
        return self.orders.get(order_id)

    async def hold(self, order_id: UUID) -> Order | None:
        assert self._writing.locked(), "only inside a unit of work"
        await asyncio.sleep(0)  # lets others in, as a database would
        return self.orders.get(order_id)

    async def page(self, user_id: UUID | None, after: UUID | None, limit: int) -> list[Order]:
        newest_first = sorted(self.orders.values(), key=lambda each: each.order_id, reverse=True)
        return [
            each
            for each in newest_first
            if (user_id is None or each.user_id == user_id) and (after is None or each.order_id < after)
        ][:limit]

    async def record(self, event: OrderEvent) -> None:
        order = event.order
        if isinstance(event, OrderPlaced) and order.order_id in self.orders:
            raise Conflict("There is an order with this identifier already.")
        self.orders[order.order_id] = order
        self.events.append(event)
