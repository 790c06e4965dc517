"""The domain's InventoryRepository in memory: the fake that passes the same suite as the real thing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

from services.inventory.domain.outcomes import ReservationStatus
from services.inventory.domain.reservations import InventoryEvent, Reservation
from services.inventory.domain.stock import Movement, Stock, StockChanged

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class MemoryInventoryRepository:
    def __init__(self) -> None:
        self.stock: dict[UUID, Stock] = {}
        self.reservations: dict[UUID, Reservation] = {}
        self.movements: list[Movement] = []
        self.events: list[InventoryEvent] = []
        self.time = BEGINNING
        self._writing = asyncio.Lock()

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[None]:
        async with self._writing:
            before = dict(self.stock), dict(self.reservations), list(self.movements), list(self.events)
            try:
                yield
            except BaseException:
                self.stock, self.reservations, self.movements, self.events = before
                raise

    async def now(self) -> datetime:
        return self.time

    async def get_stock(self, product_ids: Sequence[UUID]) -> list[Stock]:
        return [self.stock[each] for each in dict.fromkeys(product_ids) if each in self.stock]

    async def hold_stock(self, product_ids: Iterable[UUID]) -> dict[UUID, Stock]:
        await self._hold()
        return {each: self.stock.get(each, Stock(each)) for each in product_ids}

    async def claim_stock(self, product_id: UUID) -> Stock:
        return (await self.hold_stock([product_id]))[product_id]

    async def hold_reservation(self, reservation_id: UUID) -> Reservation | None:
        await self._hold()
        return self.reservations.get(reservation_id)

    async def claim_reservation(self, reservation_id: UUID) -> Reservation | None:
        return await self.hold_reservation(reservation_id)

    async def hold_due_reservations(self, limit: int) -> list[Reservation]:
        await self._hold()
        due = [
            (each.expires_at, each)
            for each in self.reservations.values()
            if each.status is ReservationStatus.RESERVED and each.expires_at and each.expires_at <= self.time
        ]
        return [each for _, each in sorted(due, key=lambda pair: pair[0])][:limit]

    async def record(self, event: InventoryEvent) -> None:
        changes = [event] if isinstance(event, StockChanged) else event.changes
        for change in changes:
            stock = change.stock
            assert 0 <= stock.reserved <= stock.on_hand, "the database's CHECK"
            self.stock[stock.product_id] = stock
            if change.movement is not None:
                self.movements.append(change.movement)
        if not isinstance(event, StockChanged):
            self.reservations[event.reservation.reservation_id] = event.reservation
        self.events.append(event)

    async def _hold(self) -> None:
        assert self._writing.locked(), "only inside a unit of work"
        await asyncio.sleep(0)  # lets others in, as a database would
