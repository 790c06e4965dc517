"""The domain's Catalogue as a test wants it: with some products, or away."""

from collections.abc import AsyncIterator
from uuid import UUID

from shared.errors import Unavailable


class FakeCatalogue:
    def __init__(self, *product_ids: UUID) -> None:
        self.product_ids = product_ids
        self.is_away = False

    async def every_product(self) -> AsyncIterator[UUID]:
        for product_id in sorted(self.product_ids):
            if self.is_away:
                raise Unavailable("The product service cannot answer.", retry_after=1.0)
            yield product_id
