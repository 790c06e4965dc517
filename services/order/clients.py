"""What order asks other services, over gRPC: messages ↔ domain."""

from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID

from shop.product.v1.product_pb2 import GetProductsRequest, ListProductsRequest, Product
from shop.product.v1.product_pb2_grpc import ProductServiceStub

from services.order.domain.articles import Article
from shared.rpc.channel import Channel
from shared.rpc.values import read_money

PAGE_SECONDS = 10.0  # nobody waits for a snapshot


class RemoteCatalogue:
    """The domain's Catalogue: the product service."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._product = ProductServiceStub(channel.raw)

    async def articles(self, product_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, Article]:
        """All in one call."""
        request = GetProductsRequest(product_ids=map(str, product_ids))
        answer = await self._channel.call(self._product.GetProducts, request, seconds=seconds)
        articles = map(_article, answer.products)
        return {article.product_id: article for article in articles}

    async def every_article(self) -> AsyncIterator[Article]:
        """Page by page, as large as product likes them."""
        request = ListProductsRequest()
        while True:
            page = await self._channel.call(self._product.ListProducts, request, seconds=PAGE_SECONDS)
            for product in page.products:
                yield _article(product)
            if not page.next_after_product_id:
                return
            request = ListProductsRequest(after_product_id=page.next_after_product_id)


def _article(product: Product) -> Article:
    return Article(
        UUID(product.product_id), product.name, read_money(product.price), product.archived, product.version
    )
