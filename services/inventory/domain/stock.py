"""How much there is of a product, and the books that add up to it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from shared.errors import Conflict
from shared.money import EXACT_IN_JSON
from shared.rules import Rule

MAX_ON_HAND = EXACT_IN_JSON


class MovementReason(StrEnum):
    """Why there is more or less on hand than before."""

    SET = "set"
    COMMITTED = "committed"


@dataclass(frozen=True, slots=True)
class Movement:
    """One entry in a product's books: `difference` is never 0, and all of them add up to what is on hand."""

    product_id: UUID
    difference: int
    on_hand: int  # after it
    reason: MovementReason
    by: UUID  # the admin who has set it, or the reservation that was committed


@dataclass(frozen=True, slots=True)
class Stock:
    """Pieces of one product: all in the warehouse, and those among them that are set aside.

    `version` counts its states from 1; at 0 there has never been any, and nothing of it is kept.
    """

    product_id: UUID
    on_hand: int = 0
    reserved: int = 0
    version: int = 0

    @property
    def available(self) -> int:
        """How many can be had."""
        return self.on_hand - self.reserved

    def opened(self) -> "StockChanged | None":
        """The product is new in the catalogue, and there is none of it yet."""
        return None if self.version else StockChanged(self._then(self.on_hand, self.reserved))

    def counted(self, on_hand: int, by: UUID) -> "StockChanged | None":
        """An admin says how many there are. Raises Conflict when more than that are set aside."""
        if on_hand < self.reserved:
            raise Conflict(f"So many are set aside: {self.reserved}.", code="below-reserved")
        difference = on_hand - self.on_hand
        if not difference and self.version:
            return None
        movement = Movement(self.product_id, difference, on_hand, MovementReason.SET, by)
        return StockChanged(self._then(on_hand, self.reserved), movement if difference else None)

    def set_aside(self, quantity: int) -> "StockChanged":
        """Some are promised; they must be available."""
        return StockChanged(self._then(self.on_hand, self.reserved + quantity))

    def put_back(self, quantity: int) -> "StockChanged":
        """Some that were promised can be had again."""
        return StockChanged(self._then(self.on_hand, self.reserved - quantity))

    def taken(self, quantity: int, reservation_id: UUID) -> "StockChanged":
        """Some that were promised have left."""
        on_hand = self.on_hand - quantity
        movement = Movement(self.product_id, -quantity, on_hand, MovementReason.COMMITTED, reservation_id)
        return StockChanged(self._then(on_hand, self.reserved - quantity), movement)

    def _then(self, on_hand: int, reserved: int) -> "Stock":
        return replace(self, on_hand=on_hand, reserved=reserved, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class StockChanged:
    """There is more or less of a product than before, which is a movement, or of it is set aside."""

    stock: Stock
    movement: Movement | None = None


# Rules


def on_hand_fault(on_hand: int) -> str | None:
    """Pieces are counted from 0 to MAX_ON_HAND."""
    return None if 0 <= on_hand <= MAX_ON_HAND else f"Must be from 0 to {MAX_ON_HAND}"


STOCK_RULES: Mapping[str, Rule] = {"on_hand": on_hand_fault}
