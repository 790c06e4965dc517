"""The domain's Catalogue as a test wants it: with an offer, away, or slow."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from services.order.domain.articles import Article
from shared.errors import ApplicationError, Unavailable


class FakeCatalogue:
    def __init__(self, *offer: Article) -> None:
        self.offer = {each.product_id: each for each in offer}
        self.failure: ApplicationError | None = None
        self.takes_seconds = 0.0  # of the patience that each caller has; no time goes by
        self.asked: list[list[UUID]] = []
        self._may_answer = asyncio.Event()
        self._may_answer.set()

    def rename(self, product_id: UUID, name: str) -> None:
        before = self.offer[product_id]
        self.offer[product_id] = replace(before, name=name, version=before.version + 1)

    def be_away(self) -> None:
        self.failure = Unavailable("The product service cannot answer.", retry_after=1.0)

    def hold_up(self) -> asyncio.Event:
        """Whoever asks from now on gets no answer before this."""
        self._may_answer = asyncio.Event()
        return self._may_answer

    async def articles(self, product_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, Article]:
        self.asked.append(list(product_ids))
        await self._may_answer.wait()
        if self.failure is not None:
            raise self.failure
        if self.takes_seconds > seconds:
            raise Unavailable("The product service cannot answer.", retry_after=1.0)
        return {each: self.offer[each] for each in product_ids if each in self.offer}

    async def every_article(self) -> AsyncIterator[Article]:
        for product_id in sorted(self.offer):
            if self.failure is not None:
                raise self.failure
            yield self.offer[product_id]
