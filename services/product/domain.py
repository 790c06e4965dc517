"""What a product is, which rules it obeys, and what can happen to it. Pure: no I/O, no clock, no randomness.

A decision (`create_product`, `Product.changed`, `Product.archive`) returns the event it amounts to, which
carries the product as it then is, or None when nothing happens. Whoever records the event makes it true.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Protocol
from uuid import UUID

from shared.errors import Conflict
from shared.money import Money, money_fields, money_rules, under
from shared.rules import Rule
from shared.text import is_printable, tidy, tidy_name

MAX_NAME_CHARACTERS = 200
MAX_DESCRIPTION_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class ProductDetails:
    """What a product is created from."""

    name: str
    description: str
    price: Money


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What is to be different; None leaves it as it is."""

    name: str | None = None
    description: str | None = None
    price: Money | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """One thing in the catalogue. `version` counts its states from 1; archived, it is no longer on offer."""

    product_id: UUID
    name: str
    description: str
    price: Money
    version: int = 1
    archived: bool = False

    def changed(self, change: ProductChange) -> "ProductChanged | None":
        """Raises Conflict when the product is archived."""
        if self.archived:
            raise Conflict("An archived product cannot be changed.", code="product-archived")
        product = replace(self, **_tidied(change))
        if product == self:
            return None
        return ProductChanged(replace(product, version=self.version + 1), former=self)

    def archive(self) -> "ProductArchived | None":
        """Archiving twice is archiving once."""
        if self.archived:
            return None
        return ProductArchived(replace(self, archived=True, version=self.version + 1))


# What has happened


@dataclass(frozen=True, slots=True)
class ProductCreated:
    """A product came into the catalogue."""

    product: Product


@dataclass(frozen=True, slots=True)
class ProductChanged:
    """Name, description or price is another than before."""

    product: Product
    former: Product


@dataclass(frozen=True, slots=True)
class ProductArchived:
    """The product is no longer on offer."""

    product: Product


ProductEvent = ProductCreated | ProductChanged | ProductArchived


def create_product(product_id: UUID, details: ProductDetails) -> ProductCreated:
    """A new product, first version."""
    return ProductCreated(Product(product_id, **_tidied(details)))


# Rules


def fields(details: ProductDetails | ProductChange) -> Iterator[tuple[str, object]]:
    """What `details` give, by dotted path."""
    if details.name is not None:
        yield "name", details.name
    if details.description is not None:
        yield "description", details.description
    if details.price is not None:
        yield from money_fields(details.price, "price")


def product_rules(currency: str, known_currencies: frozenset[str]) -> Mapping[str, Rule]:
    """The rule of each field, by its dotted path. Prices are in `currency`, one of `known_currencies`."""
    prices = under("price", money_rules(currency, known_currencies))
    return {"name": name_fault, "description": description_fault, **prices}


def name_fault(name: str) -> str | None:
    """A name is one line of 1 to MAX_NAME_CHARACTERS, blanks around it not counted."""
    length = len(tidy_name(name))
    if not 1 <= length <= MAX_NAME_CHARACTERS:
        return f"Must be 1 to {MAX_NAME_CHARACTERS} characters long, not {length}"
    return None if is_printable(name) else "Must not contain control characters"


def description_fault(description: str) -> str | None:
    """A description may have several lines."""
    length = len(tidy(description))
    if length > MAX_DESCRIPTION_CHARACTERS:
        return f"Must be at most {MAX_DESCRIPTION_CHARACTERS} characters long, not {length}"
    return None if is_printable(description, "\t\n\r") else "Must not contain control characters"


def search_fault(text: str) -> str | None:
    """Nothing longer than a name, or with control characters, is worth looking for."""
    if len(text) > MAX_NAME_CHARACTERS:
        return f"Must be at most {MAX_NAME_CHARACTERS} characters long, not {len(text)}"
    return None if is_printable(text) else "Must not contain control characters"


# Text


def search_key(text: str) -> str:
    """`text` without distinctions of case: what is searched passes through here, and what is searched for."""
    return tidy(tidy(text).casefold())


def searchable_text(product: Product) -> str:
    """Where a search looks. No key contains a line break, so none reaches across the two."""
    return search_key(f"{product.name}\n{product.description}")


def _tidied(details: ProductDetails | ProductChange) -> dict[str, Any]:
    """The given fields, in the form in which a product keeps them."""
    given: dict[str, Any] = {}
    if details.name is not None:
        given["name"] = tidy_name(details.name)
    if details.description is not None:
        given["description"] = tidy(details.description)
    if details.price is not None:
        given["price"] = details.price
    return given


# What the use cases need


class ProductRepository(Protocol):
    """Where products are kept. Every method raises Unavailable while that place cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def get(self, product_id: UUID) -> Product | None:
        """The product, archived or not."""

    async def get_all(self, product_ids: Sequence[UUID]) -> list[Product]:
        """Those of `product_ids` that there are, archived or not."""

    async def hold(self, product_id: UUID) -> Product | None:
        """As `get`; nobody else changes the product until the unit of work, which must be open, has ended."""

    async def page(self, key: str, after: UUID | None, limit: int) -> list[Product]:
        """Up to `limit` products on offer, newest first, from the one after `after` on.

        Only those whose searchable text contains `key`; every one does when it is empty.
        """

    async def page_of_all(self, after: UUID | None, limit: int) -> list[Product]:
        """Up to `limit` products, archived or not, oldest first, from the one after `after` on."""

    async def record(self, event: ProductEvent) -> None:
        """Make `event` true, and report it. Raises Conflict when a product is created that exists."""
