"""What clients have been told of their orders, and whether it can all be true. Pure.

An order that has once been there stays. A final one stays what it is. One that was called off, which is
answered with 200, is never confirmed. All that is asked under one key is about one order.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CONFIRMED, PENDING = "CONFIRMED", "PENDING"


@dataclass(frozen=True, slots=True)
class Told:
    """One answer about an order: asked for and heard at these seconds of one clock.

    `pieces` of each product cost `total` together.
    """

    order_id: str
    status: str
    reason: str
    pieces: Mapping[str, int]
    total: int
    asked_at: float
    heard_at: float

    @classmethod
    def read(cls, document: Any, asked_at: float, heard_at: float) -> "Told":
        """From the body of an answer that shows an order."""
        pieces = {item["product_id"]: item["quantity"] for item in document["items"]}
        reason, total = document["reason"] or "", document["total"]["amount"]
        return cls(document["order_id"], document["status"], reason, pieces, total, asked_at, heard_at)

    @property
    def ending(self) -> str:
        """What has become of it, in words; empty while nothing has."""
        return "" if self.status == PENDING else f"{self.status} {self.reason}".strip()


@dataclass
class Tale:
    """All about one order. `ending` is the first that was heard of."""

    latest: Told
    ending: str = ""
    ended_at: float = math.inf
    is_called_off: bool = False


@dataclass
class Witness:
    """Remembers every order that was ever answered with 2xx, and what does not fit together."""

    tales: dict[str, Tale] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    _orders: dict[str, str] = field(default_factory=dict)  # by key

    def placed(self, key: str, told: Told) -> None:
        """An order was accepted under `key`, or had been before."""
        former = self._orders.setdefault(key, told.order_id)
        if former != told.order_id:
            self.contradictions.append(f"orders {former} and {told.order_id} have one key, {key}")
        self.tales.setdefault(told.order_id, Tale(told))
        self.told(told)

    def told(self, told: Told) -> None:
        """Something about an order that was accepted."""
        tale = self.tales[told.order_id]
        tale.latest = told
        if told.ending and not tale.ending:
            tale.ending, tale.ended_at = told.ending, told.heard_at
        is_news = told.asked_at > tale.ended_at  # an answer may be overtaken by one that was asked for later
        if told.ending != tale.ending and (told.ending or is_news):
            self._contradict(told.order_id, f"{tale.ending}, then {told.ending or told.status}")
        if told.status == CONFIRMED and tale.is_called_off:
            self._contradict(told.order_id, "called off, and confirmed")

    def called_off(self, told: Told) -> None:
        """A cancellation was answered with 200."""
        self.tales[told.order_id].is_called_off = True
        self.told(told)

    def missed(self, order_id: str) -> None:
        """It was not found, although it had been accepted."""
        self.lost.append(order_id)

    @property
    def confirmed(self) -> list[Told]:
        """What has been sold."""
        return [tale.latest for tale in self.tales.values() if tale.latest.status == CONFIRMED]

    def _contradict(self, order_id: str, what: str) -> None:
        self.contradictions.append(f"order {order_id}: {what}")
