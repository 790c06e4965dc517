"""Who waits, in this process, for the end of a saga that this process works at."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from services.order.domain.orders import Order


class Endings:
    """Each order's saga ends once; those who watch it then are told."""

    def __init__(self) -> None:
        self._watchers: defaultdict[UUID, set[asyncio.Future[Order]]] = defaultdict(set)

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._watchers.values()))

    @contextmanager
    def watched(self, order_id: UUID) -> "Iterator[asyncio.Future[Order]]":
        """The order as it is when its saga has ended, if that happens while the block runs."""
        ended = asyncio.get_running_loop().create_future()
        self._watchers[order_id].add(ended)
        try:
            yield ended
        finally:
            self._watchers[order_id].discard(ended)
            if not self._watchers[order_id]:
                del self._watchers[order_id]

    def tell(self, order: Order) -> None:
        """The saga of `order` has ended."""
        for ended in self._watchers.get(order.order_id, ()):
            if not ended.done():
                ended.set_result(order)
