"""What the inventory asks other services, over gRPC: messages ↔ domain."""

from collections.abc import AsyncIterator
from uuid import UUID

from shop.product.v1.product_pb2 import ListProductsRequest
from shop.product.v1.product_pb2_grpc import ProductServiceStub

from shared.rpc.channel import Channel

PAGE_SECONDS = 10.0  # nobody waits for a snapshot


class RemoteCatalogue:
    """The domain's Catalogue: the product service."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._product = ProductServiceStub(channel.raw)

    async def every_product(self) -> AsyncIterator[UUID]:
        """Page by page, as large as product likes them."""
        request = ListProductsRequest()
        while True:
            page = await self._channel.call(self._product.ListProducts, request, seconds=PAGE_SECONDS)
            for product in page.products:
                yield UUID(product.product_id)
            if not page.next_after_product_id:
                return
            request = ListProductsRequest(after_product_id=page.next_after_product_id)
