"""What can be done with stock and reservations. Each write reads as: find, decide, record."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from uuid import UUID

from services.inventory.domain.catalogue import Catalogue
from services.inventory.domain.outcomes import (
    COMMIT_OUTCOMES,
    RELEASE_OUTCOMES,
    CommitOutcome,
    ReleaseOutcome,
)
from services.inventory.domain.reservations import (
    InventoryRepository,
    Item,
    Reservation,
    ReservationEvent,
    ReserveAnswer,
    cancel_in_advance,
    in_order,
    reserve,
)
from services.inventory.domain.stock import STOCK_RULES, Stock
from shared.errors import NotFound
from shared.events.rebuilt import Rebuilt, rebuild_from
from shared.rules import check
from shared.versions import VersionTest, any_version, require_version

EXPIRED_AT_ONCE = 20  # reservations; whoever wants their stock waits that long


class InventoryService:
    """The use cases. Besides what each says, all raise Unavailable while the repository does.

    `lifetime` is how long goods are set aside for a reservation that nobody commits. The stock is held last:
    it is what different commands wait for.
    """

    def __init__(self, repository: InventoryRepository, lifetime: timedelta) -> None:
        self._repository = repository
        self._lifetime = lifetime

    # Stock

    async def get(self, product_id: UUID) -> Stock:
        """The product's stock. Raises NotFound when there has never been any."""
        found = await self._repository.get_stock([product_id])
        if not found:
            raise NotFound("There has never been any stock of such a product.")
        return found[0]

    async def get_all(self, product_ids: Sequence[UUID]) -> list[Stock]:
        """The stock of those products that have ever had any."""
        return await self._repository.get_stock(product_ids)

    async def count(
        self, product_id: UUID, on_hand: int, by: UUID, is_expected: VersionTest = any_version
    ) -> Stock:
        """There are `on_hand` pieces, says the admin `by`.

        Raises Invalid, PreconditionFailed when the version is not expected, Conflict below what is set aside.
        """
        check([("on_hand", on_hand)], STOCK_RULES)
        async with self._repository.unit_of_work():
            stock = await self._repository.claim_stock(product_id)
            require_version("The stock", stock.version, is_expected)
            changed = stock.counted(on_hand, by)
            if changed is None:
                return stock
            await self._repository.record(changed)
            return changed.stock

    # Reservations

    async def reserve(self, reservation_id: UUID, items: Iterable[Item]) -> ReserveAnswer:
        """Set all items aside, or none; asked again, tell what has become of it.

        Raises Invalid; Conflict when the identifier has been used for other items.
        """
        ordered = in_order(items)
        async with self._repository.unit_of_work():
            reservation = await self._repository.claim_reservation(reservation_id)
            if reservation is None:
                until = await self._repository.now() + self._lifetime
                stock = await self._repository.hold_stock(each.product_id for each in ordered)
                made = reserve(reservation_id, ordered, stock, until)
                await self._repository.record(made)
                return made.reservation.answer
            reservation.require_same(ordered)
            now = await self._repository.now()
            expired = reservation.expire(await self._stock_of([reservation]), now)
            return (await self._recorded(reservation, expired)).answer

    async def release(self, reservation_id: UUID) -> ReleaseOutcome:
        """Give back what is set aside; a reservation that does not exist yet never will."""
        async with self._repository.unit_of_work():
            reservation = await self._repository.claim_reservation(reservation_id)
            if reservation is None:
                await self._repository.record(cancel_in_advance(reservation_id))
                return ReleaseOutcome.RELEASED
            released = reservation.release(await self._stock_of([reservation]))
            return RELEASE_OUTCOMES[(await self._recorded(reservation, released)).status]

    async def commit(self, reservation_id: UUID) -> CommitOutcome:
        """The goods leave the stock, unless the reservation's time has run out: then it expires now."""
        async with self._repository.unit_of_work():
            reservation = await self._repository.hold_reservation(reservation_id)
            if reservation is None:
                return CommitOutcome.NOT_RESERVED
            now = await self._repository.now()
            decided = reservation.commit(await self._stock_of([reservation]), now)
            return COMMIT_OUTCOMES[(await self._recorded(reservation, decided)).status]

    async def expire_due(self) -> int:
        """Give back what some reservations hold whose time has run out. Returns how many were found."""
        async with self._repository.unit_of_work():
            due = await self._repository.hold_due_reservations(EXPIRED_AT_ONCE)
            now = await self._repository.now()
            stock = await self._stock_of(due)
            for reservation in due:
                if (expired := reservation.expire(stock, now)) is not None:
                    await self._repository.record(expired)
                    stock.update((each.stock.product_id, each.stock) for each in expired.changes)
            return len(due)

    async def _stock_of(self, reservations: Iterable[Reservation]) -> dict[UUID, Stock]:
        held = {item.product_id for reservation in reservations for item in reservation.held}
        return await self._repository.hold_stock(held)

    async def _recorded(self, reservation: Reservation, event: ReservationEvent | None) -> Reservation:
        """The reservation as it is after `event`."""
        if event is None:
            return reservation
        await self._repository.record(event)
        return event.reservation


class StockOpening:
    """Each product of the catalogue gets stock to begin with: none. All raise Unavailable as above."""

    def __init__(self, repository: InventoryRepository) -> None:
        self._repository = repository

    async def open(self, product_id: UUID) -> bool:
        """From now on there is stock of the product, if only 0 pieces. Whether there never was any before."""
        async with self._repository.unit_of_work():
            opened = (await self._repository.claim_stock(product_id)).opened()
            if opened is not None:
                await self._repository.record(opened)
            return opened is not None

    async def open_all(self, catalogue: Catalogue) -> Rebuilt:
        """Open what is missing of all that `catalogue` has."""
        return await rebuild_from(catalogue.every_product(), self.open)
