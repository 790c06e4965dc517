"""What can be done with orders, and with our copies of the catalogue.

Each write to an order reads as: find, decide, record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from services.order.domain.articles import Article, ArticleRepository, Catalogue
from services.order.domain.orders import (
    REQUESTED,
    Asker,
    Basket,
    Order,
    OrderPlaced,
    OrderRepository,
    fields,
    place_order,
    refuse_repeated_products,
)
from shared.errors import DeadlineExceeded, NotFound, Unavailable
from shared.events.rebuilt import Rebuilt, rebuild_from
from shared.ids import new_id
from shared.paging import Page, page_of
from shared.rules import Rule, check

PRICES_SECONDS = 2.0  # without prices there is no order
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
        rules: Mapping[str, Rule],
        currency: str,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._repository = repository
        self._catalogue = catalogue
        self._rules = rules
        self._currency = currency
        self._clock = clock

    async def draft(self, basket: Basket) -> OrderPlaced:
        """An order of what is in `basket`, at the catalogue's names and prices; not placed yet.

        Raises Invalid, Conflict when the total is not the expected one, Unavailable without the catalogue.
        """
        check(fields(basket), self._rules)
        refuse_repeated_products(basket.items)
        wanted = [item.product_id for item in basket.items]
        articles = await self._catalogue.articles(wanted, PRICES_SECONDS)
        return place_order(new_id(), basket, articles, self._currency, self._clock())

    async def place(self, draft: OrderPlaced) -> Order:
        """From now on the order is there, and pending."""
        await self._repository.record(draft)
        return draft.order

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
        """The order, cancelled at its owner's request. Raises NotFound, Conflict when it is confirmed."""
        async with self._repository.unit_of_work():
            order = await self._repository.hold(order_id)
            if order is None or not asker.owns(order):
                raise NotFound("There is no such order of yours.")
            cancelled = order.cancel(REQUESTED)
            if cancelled is None:
                return order
            await self._repository.record(cancelled)
            return cancelled.order


class CatalogueCopies:
    """Our copies of the catalogue's articles. All raise Unavailable while the repository does."""

    def __init__(self, articles: ArticleRepository) -> None:
        self._articles = articles

    async def keep(self, article: Article) -> bool:
        """Have `article` as our copy, unless ours is newer. Whether anything is different from before."""
        return await self._articles.keep(article)

    async def rebuild(self, catalogue: Catalogue) -> Rebuilt:
        """Compare all copies with `catalogue`, and mend those that are different. Raises Unavailable."""
        return await rebuild_from(catalogue.every_article(), self._articles.keep)


def _visible(order: Order | None, asker: Asker) -> Order:
    if order is None or not asker.may_see(order):
        raise NotFound("There is no such order.")
    return order
