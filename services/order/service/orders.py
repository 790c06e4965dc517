"""What can be done with orders. What becomes of one by itself is in orchestrator.py."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from services.order.domain.articles import Catalogue
from services.order.domain.orders import (
    Asker,
    Basket,
    Order,
    OrderRepository,
    OrderStatus,
    draft_order,
    fields,
    refuse_repeated_products,
)
from services.order.service.orchestrator import Orchestrator
from shared import context
from shared.errors import Conflict, DeadlineExceeded, NotFound, Unavailable
from shared.ids import new_id
from shared.paging import Page, page_of
from shared.rules import Rule, check

PRICES_SECONDS = 2.0  # without prices there is no order
ANSWER_SECONDS = 0.5  # kept of a request's time, for whoever has waited
NAMES_SECONDS = 0.5  # without today's names there are still our own


@dataclass(frozen=True, slots=True)
class Names:
    """What the products of an order are called, and whether the catalogue says so or our own copy."""

    by_product: Mapping[UUID, str]
    source: str


def now() -> datetime:
    """The time by this process's clock."""
    return datetime.now(UTC)


class OrderService:
    """The use cases. Besides what each says, all raise Unavailable while the repository does.

    Orders are in `currency`, the shop's.
    """

    def __init__(
        self,
        repository: OrderRepository,
        catalogue: Catalogue,
        orchestrator: Orchestrator,
        rules: Mapping[str, Rule],
        currency: str,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._repository = repository
        self._catalogue = catalogue
        self._orchestrator = orchestrator
        self._rules = rules
        self._currency = currency
        self._clock = clock

    async def draft(self, basket: Basket) -> Order:
        """An order of what is in `basket`, at the catalogue's names and prices; not placed yet.

        Raises Invalid, Conflict when the total is not the expected one, Unavailable without the catalogue.
        """
        check(fields(basket), self._rules)
        refuse_repeated_products(basket.items)
        wanted = [item.product_id for item in basket.items]
        articles = await self._catalogue.articles(wanted, PRICES_SECONDS)
        return draft_order(new_id(), basket, articles, self._currency, self._clock())

    async def place(self, draft: Order) -> Order:
        """From now on the order is there, and pending: its saga has begun."""
        return await self._orchestrator.begin(draft)

    async def settled(self, order: Order, seconds: float) -> Order:
        """The order once it is final; as it is after `seconds`, or when the request's time runs out."""
        if order.is_final:
            return order
        return await self._orchestrator.wait(order.order_id, min(seconds, _time_left()))

    async def get(self, order_id: UUID, asker: Asker) -> Order:
        """The order. Raises NotFound, also for an order that is none of the asker's business."""
        return _visible(await self._repository.get(order_id), asker)

    async def names(self, order: Order) -> Names:
        """What its products are called now; while the catalogue is away, what our copies call them."""
        copy = {item.product_id: item.product_name for item in order.items}
        try:
            articles = await self._catalogue.articles(list(copy), NAMES_SECONDS)
        except (Unavailable, DeadlineExceeded):
            return Names(copy, "copy")
        return Names(copy | {each.product_id: each.name for each in articles.values()}, "product")

    async def browse(self, asker: Asker, after: UUID | None = None, limit: int = 20) -> Page[Order]:
        """The asker's own orders, an admin's all orders, newest first."""
        whose = None if asker.is_admin else asker.user_id
        found = await self._repository.page(whose, after, limit + 1)
        return page_of(found, limit, lambda order: order.order_id)

    async def cancel(self, order_id: UUID, asker: Asker) -> Order:
        """Call the order off for its owner, who gets what has been paid; cancelling twice is cancelling once.

        Raises NotFound, Conflict when it is too late. It is CANCELLED only when all has been undone.
        """
        async with self._repository.unit_of_work():
            order = await self._repository.hold(order_id)
            if order is None or not asker.owns(order):
                raise NotFound("There is no such order of yours.")
            if order.status is OrderStatus.CONFIRMED:
                raise Conflict("It is too late: the order is confirmed.", code="order-confirmed")
            if order.status is OrderStatus.PENDING:
                await self._orchestrator.call_off(order)
            return order


def _time_left() -> float:
    """Seconds, less what the answer itself takes."""
    deadline = context.deadline.get()
    return math.inf if deadline is None else deadline - time.monotonic() - ANSWER_SECONDS


def _visible(order: Order | None, asker: Asker) -> Order:
    if order is None or not asker.may_see(order):
        raise NotFound("There is no such order.")
    return order
