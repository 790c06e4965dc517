"""What an order is and which rules it obeys.

An order keeps the prices that were agreed, whatever becomes of the products: nobody changes them later. Names
are for reading, so an order tells what its products are called by now, as our copies of the catalogue have
it. The name of the day of the order is kept with it all the same, for where there is no copy.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.order.domain.articles import Article
from shared.errors import Conflict, FieldError, Invalid
from shared.money import MAX_AMOUNT, Money, money_fields, money_rules, under
from shared.rules import Rule, refuse

MAX_ITEMS = 50  # what one call to the catalogue carries easily, and more than a basket has
MAX_QUANTITY = 10_000  # pieces of one product


class OrderStatus(StrEnum):
    """What has become of an order; CONFIRMED and CANCELLED are final."""

    PENDING = "PENDING"
    CONFIRMED = "CONFIRMED"
    CANCELLED = "CANCELLED"


REQUESTED = "requested"  # the reason of an order that its owner has cancelled


@dataclass(frozen=True, slots=True)
class WantedItem:
    """What somebody wants to order: pieces of a product."""

    product_id: UUID
    quantity: int


@dataclass(frozen=True, slots=True)
class Basket:
    """All that somebody wants, and what they expect it to cost if they say so."""

    user_id: UUID
    items: Sequence[WantedItem]
    expected_total: Money | None = None


@dataclass(frozen=True, slots=True)
class OrderItem:
    """Pieces of a product, at the price of the day of the order, whatever the product is called by now."""

    product_id: UUID
    product_name: str
    quantity: int
    unit_price: Money


@dataclass(frozen=True, slots=True)
class Order:
    """One order. `version` counts its states from 1; `reason` says why it is cancelled."""

    order_id: UUID
    user_id: UUID
    items: tuple[OrderItem, ...]
    total: Money
    placed_at: datetime
    status: OrderStatus = OrderStatus.PENDING
    reason: str = ""
    version: int = 1

    @property
    def is_final(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.status is not OrderStatus.PENDING

    def confirm(self) -> "OrderConfirmed":
        """It is paid, and its goods have left. Raises Conflict unless the order is pending."""
        return OrderConfirmed(self._ended(OrderStatus.CONFIRMED))

    def cancel(self, reason: str) -> "OrderCancelled":
        """Nothing comes of it. Raises Conflict unless the order is pending."""
        return OrderCancelled(self._ended(OrderStatus.CANCELLED, reason))

    def _ended(self, status: OrderStatus, reason: str = "") -> "Order":
        if self.is_final:
            raise Conflict(f"The order is {self.status} already.", code="order-final")
        return replace(self, status=status, reason=reason, version=self.version + 1)


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants to see or change an order."""

    user_id: UUID
    is_admin: bool = False

    def may_see(self, order: Order) -> bool:
        """An order is its owner's business, and the admins'."""
        return self.is_admin or self.owns(order)

    def owns(self, order: Order) -> bool:
        """Whether the order is theirs."""
        return order.user_id == self.user_id


# What has happened


@dataclass(frozen=True, slots=True)
class OrderPlaced:
    """A user has ordered something."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderConfirmed:
    """An order is paid, and its goods have left the stock."""

    order: Order


@dataclass(frozen=True, slots=True)
class OrderCancelled:
    """Nothing comes of an order."""

    order: Order


OrderEvent = OrderPlaced | OrderConfirmed | OrderCancelled


def draft_order(
    order_id: UUID, basket: Basket, articles: Mapping[UUID, Article], currency: str, placed_at: datetime
) -> Order:
    """An order of what is in `basket`, at today's names and prices, all of them in `currency`.

    Raises Invalid naming every product that cannot be had, Conflict when the total is not the expected one.
    """
    _refuse_what_cannot_be_had(basket, articles, currency)
    items = tuple(_item(wanted, articles[wanted.product_id]) for wanted in basket.items)
    total = total_of(items)
    if basket.expected_total not in (None, total):
        raise Conflict(f"The total is {total.amount} {total.currency} by now.", code="price-changed")
    return Order(order_id, basket.user_id, items, total, placed_at)


def total_of(items: Sequence[OrderItem]) -> Money:
    """What all of it costs. Raises Invalid when that is more than an amount can be."""
    amount = sum(item.quantity * item.unit_price.amount for item in items)
    if amount > MAX_AMOUNT:
        raise Invalid("Such a total cannot be paid.", (FieldError("items", f"Cost more than {MAX_AMOUNT}"),))
    return Money(amount, items[0].unit_price.currency)


def _item(wanted: WantedItem, article: Article) -> OrderItem:
    return OrderItem(article.product_id, article.name, wanted.quantity, article.price)


def _refuse_what_cannot_be_had(basket: Basket, articles: Mapping[UUID, Article], currency: str) -> None:
    wanted = ((f"{path}.product_id", articles.get(item.product_id)) for path, item in _items(basket))
    faults = ((path, _article_fault(article, currency)) for path, article in wanted)
    errors = (FieldError(path, fault) for path, fault in faults if fault is not None)
    refuse(errors, "Some products cannot be had.")


def _article_fault(article: Article | None, currency: str) -> str | None:
    if article is None:
        return "There is no such product"
    if article.archived:
        return "Is no longer on offer"
    return None if article.price.currency == currency else f"Has no price in {currency}"


# Rules


def fields(basket: Basket) -> Iterator[tuple[str, object]]:
    """What `basket` gives, by dotted path."""
    yield "items", basket.items
    for path, item in _items(basket):
        yield f"{path}.quantity", item.quantity
    if basket.expected_total is not None:
        yield from money_fields(basket.expected_total, "expected_total")


def order_rules(currency: str, known_currencies: frozenset[str]) -> Mapping[str, Rule]:
    """The rule of each field, by its dotted path. Amounts are in `currency`, one of `known_currencies`."""
    totals = under("expected_total", money_rules(currency, known_currencies))
    return {"items": items_fault, "items[].quantity": quantity_fault, **totals}


def items_fault(items: Sequence[object]) -> str | None:
    """An order has 1 to MAX_ITEMS items."""
    return None if 1 <= len(items) <= MAX_ITEMS else f"Must be 1 to {MAX_ITEMS}, not {len(items)}"


def quantity_fault(quantity: int) -> str | None:
    """At least one piece, and no more than a shop would hand over."""
    return None if 1 <= quantity <= MAX_QUANTITY else f"Must be from 1 to {MAX_QUANTITY}"


def refuse_repeated_products(items: Sequence[WantedItem]) -> None:
    """Raises Invalid, naming every item whose product stands in an earlier one."""
    ids = [item.product_id for item in items]
    repeated = (f"items[{number}].product_id" for number, each in enumerate(ids) if each in ids[:number])
    refuse(FieldError(path, "Stands in an earlier item") for path in repeated)


def _items(basket: Basket) -> Iterator[tuple[str, WantedItem]]:
    for number, item in enumerate(basket.items):
        yield f"items[{number}]", item


# What the use cases need


class OrderRepository(Protocol):
    """Where orders are kept. Every method raises Unavailable while that place cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def get(self, order_id: UUID) -> Order | None:
        """The order. Its products are called what our copies call them, here and in what follows."""

    async def hold(self, order_id: UUID) -> Order | None:
        """As `get`; nobody else changes the order until the unit of work, which must be open, has ended."""

    async def page(self, user_id: UUID | None, after: UUID | None, limit: int) -> list[Order]:
        """Up to `limit` orders of a user, or of all, newest first, from the one after `after` on."""

    async def record(self, event: OrderEvent) -> None:
        """Make `event` true and have others told. Raises Conflict when an order is placed that exists."""
