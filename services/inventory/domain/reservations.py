"""Goods set aside together, and what becomes of them.

A reservation begins RESERVED or REFUSED, or as RELEASED when it is cancelled before it was made. RESERVED is
the only state that ends:

RESERVED → COMMITTED  the goods have left
         → RELEASED   given back
         → EXPIRED    given back, because nobody committed it in time
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.inventory.domain.outcomes import RESERVE_OUTCOMES, ReservationStatus, ReserveOutcome
from services.inventory.domain.stock import Stock, StockChanged
from shared.errors import Conflict, FieldError
from shared.rules import refuse

MAX_ITEMS = 100  # more products than anybody orders at once; each is a row that others wait for
MAX_QUANTITY = 1_000_000  # pieces of a product at once, far above any order

StockOf = Mapping[UUID, Stock]


@dataclass(frozen=True, slots=True)
class ReserveAnswer:
    """What a Reserve is told: until when, if RESERVED; of what there was not enough, if OUT_OF_STOCK."""

    outcome: ReserveOutcome
    expires_at: datetime | None = None
    short_product_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """Some pieces of one product."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Reservation:
    """`items` stand in the order of their products, each once; none when it was cancelled before it was made.

    `expires_at` is None where nothing was ever set aside. `short_product_ids` is why it was refused.
    """

    reservation_id: UUID
    items: tuple[Item, ...]
    status: ReservationStatus
    expires_at: datetime | None = None
    short_product_ids: tuple[UUID, ...] = ()

    @property
    def held(self) -> tuple[Item, ...]:
        """What is set aside for it now."""
        return self.items if self.status is ReservationStatus.RESERVED else ()

    @property
    def answer(self) -> ReserveAnswer:
        """What its Reserve is told."""
        outcome = RESERVE_OUTCOMES[self.status]
        expires_at = self.expires_at if outcome is ReserveOutcome.RESERVED else None
        return ReserveAnswer(outcome, expires_at, self.short_product_ids)

    def require_same(self, items: tuple[Item, ...]) -> None:
        """Raises Conflict when a Reserve names it for other `items`."""
        if self.items and items != self.items:
            raise Conflict("The identifier has been used for other items.", code="other-items")

    def release(self, stock: StockOf) -> "StockReleased | None":
        """Give back what it holds."""
        if self.status is not ReservationStatus.RESERVED:
            return None
        return StockReleased(replace(self, status=ReservationStatus.RELEASED), self._put_back(stock))

    def expire(self, stock: StockOf, now: datetime) -> "StockReservationExpired | None":
        """Give back what it holds, if its time has run out."""
        if self.status is not ReservationStatus.RESERVED or self.expires_at is None or now < self.expires_at:
            return None
        return StockReservationExpired(replace(self, status=ReservationStatus.EXPIRED), self._put_back(stock))

    def commit(self, stock: StockOf, now: datetime) -> "StockCommitted | StockReservationExpired | None":
        """What it holds leaves, unless its time has run out."""
        if self.status is not ReservationStatus.RESERVED:
            return None
        if (expired := self.expire(stock, now)) is not None:
            return expired
        changes = (stock[each.product_id].taken(each.quantity, self.reservation_id) for each in self.items)
        return StockCommitted(replace(self, status=ReservationStatus.COMMITTED), tuple(changes))

    def _put_back(self, stock: StockOf) -> tuple[StockChanged, ...]:
        return tuple(stock[each.product_id].put_back(each.quantity) for each in self.items)


# What has happened


@dataclass(frozen=True, slots=True)
class ReservationEvent:
    """Something has become of a reservation, and of the stock of its products."""

    reservation: Reservation
    changes: tuple[StockChanged, ...] = ()


@dataclass(frozen=True, slots=True)
class StockReserved(ReservationEvent):
    """Goods were set aside."""


@dataclass(frozen=True, slots=True)
class StockReservationRefused(ReservationEvent):
    """There was not enough in stock."""


@dataclass(frozen=True, slots=True)
class StockReleased(ReservationEvent):
    """Goods can be had again, or a reservation was cancelled before it was made."""


@dataclass(frozen=True, slots=True)
class StockCommitted(ReservationEvent):
    """Goods have left the stock."""


@dataclass(frozen=True, slots=True)
class StockReservationExpired(ReservationEvent):
    """Goods can be had again, because nobody committed them in time."""


InventoryEvent = StockChanged | ReservationEvent


def reserve(
    reservation_id: UUID, items: tuple[Item, ...], stock: StockOf, until: datetime
) -> StockReserved | StockReservationRefused:
    """A new reservation: all items are set aside, or none."""
    short = tuple(each.product_id for each in items if stock[each.product_id].available < each.quantity)
    if short:
        refused = Reservation(reservation_id, items, ReservationStatus.REFUSED, short_product_ids=short)
        return StockReservationRefused(refused)
    changes = tuple(stock[each.product_id].set_aside(each.quantity) for each in items)
    return StockReserved(Reservation(reservation_id, items, ReservationStatus.RESERVED, until), changes)


def cancel_in_advance(reservation_id: UUID) -> StockReleased:
    """A reservation that does not exist yet never will."""
    return StockReleased(Reservation(reservation_id, (), ReservationStatus.RELEASED))


# Rules


def in_order(items: Iterable[Item]) -> tuple[Item, ...]:
    """`items` as a reservation keeps them. Raises Invalid, naming all that is wrong with them."""
    given = tuple(items)
    refuse(_faults(given))
    return tuple(sorted(given, key=lambda each: each.product_id))


def _faults(items: Sequence[Item]) -> Iterator[FieldError]:
    if not 1 <= len(items) <= MAX_ITEMS:
        yield FieldError("items", f"Must be 1 to {MAX_ITEMS}, not {len(items)}")
        return
    seen: set[UUID] = set()
    for position, each in enumerate(items):
        if each.product_id in seen:
            yield FieldError(f"items[{position}].product_id", "Stands in an earlier item")
        seen.add(each.product_id)
        if not 1 <= each.quantity <= MAX_QUANTITY:
            yield FieldError(f"items[{position}].quantity", f"Must be from 1 to {MAX_QUANTITY}")


# What the use cases need


class InventoryRepository(Protocol):
    """Where stock and reservations are kept. Every method raises Unavailable while that cannot be reached.

    What is held, nobody else touches until the unit of work ends, which must be open. Reservations are held
    first, and then all of their stock at once, so that no two ever wait for each other.
    """

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def now(self) -> datetime:
        """The time, by the one clock that all share."""

    async def get_stock(self, product_ids: Sequence[UUID]) -> list[Stock]:
        """The stock of those products that have ever had any."""

    async def hold_stock(self, product_ids: Iterable[UUID]) -> dict[UUID, Stock]:
        """The stock of all of them, at version 0 where there has never been any: that is not held."""

    async def claim_stock(self, product_id: UUID) -> Stock:
        """As `hold_stock`, but held whether or not there has been any. Something must then be recorded."""

    async def hold_reservation(self, reservation_id: UUID) -> Reservation | None:
        """The reservation, if there is one."""

    async def claim_reservation(self, reservation_id: UUID) -> Reservation | None:
        """As `hold_reservation`, but held whether or not there is one. If not, one must then be recorded."""

    async def hold_due_reservations(self, limit: int) -> list[Reservation]:
        """Up to `limit` whose time has run out, the longest ago first; not those that someone else holds."""

    async def record(self, event: InventoryEvent) -> None:
        """Make `event` true and have others told. Reservation and stock that it concerns must be held."""
