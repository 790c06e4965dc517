"""Articles: what order knows of the catalogue's products."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.money import Money


@dataclass(frozen=True, slots=True)
class Article:
    """A product as the catalogue tells it. `version` counts its states from 1."""

    product_id: UUID
    name: str
    price: Money
    archived: bool
    version: int


# What the use cases need


class Catalogue(Protocol):
    """The product service."""

    async def articles(self, product_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, Article]:
        """Those of `product_ids` that there are, by their identifiers.

        Raises Unavailable when it has not answered within `seconds`, DeadlineExceeded when the request's own
        time is over.
        """

    def every_article(self) -> AsyncIterator[Article]:
        """All that there are, archived or not; what is created meanwhile may be missing.

        Raises Unavailable.
        """


class ArticleRepository(Protocol):
    """Where our copies of the catalogue are kept. Raises Unavailable while that place cannot be reached."""

    async def keep(self, article: Article) -> bool:
        """Have `article` as our copy, unless ours is newer. Whether anything is different from before."""
