"""What the inventory must know of the catalogue."""

from collections.abc import AsyncIterator
from typing import Protocol
from uuid import UUID


class Catalogue(Protocol):
    """The product service."""

    def every_product(self) -> AsyncIterator[UUID]:
        """The identifiers of all products, archived or not; what is created meanwhile may be missing.

        Raises Unavailable.
        """
