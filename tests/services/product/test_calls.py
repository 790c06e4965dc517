"""The catalogue's gRPC face, over messages without sockets."""

from collections.abc import Mapping
from uuid import UUID

import pytest
from shop.product.v1.product_pb2 import ListProductsRequest, ListProductsResponse

from services.product.domain import (
    MAX_DESCRIPTION_CHARACTERS,
    MAX_NAME_CHARACTERS,
    Product,
    ProductDetails,
)
from services.product.events import product_message
from services.product.handler import MOST_PRODUCTS, USUAL_PRODUCTS, ProductCalls
from services.product.service import ProductService
from shared.errors import Invalid
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule
from tests.services.product.memory_repository import MemoryProductRepository

MOST_BYTES = 4 * 1024 * 1024  # of a message, to a gRPC client that has not been told otherwise


class Caller:
    def __init__(self, products: ProductService) -> None:
        self._products = products
        self._calls = ProductCalls(products)

    async def have(self, count: int) -> None:
        for number in range(1, count + 1):
            details = ProductDetails(f"Tea {number}", "", Money(number, "KRW"))
            await self._products.create(details, UUID(int=number))

    async def list(self, page_size: int = 0, after: str = "") -> ListProductsResponse:
        return await self._calls.ListProducts(
            ListProductsRequest(page_size=page_size, after_product_id=after), None
        )


@pytest.fixture
def caller(memory: MemoryProductRepository, rules: Mapping[str, Rule]) -> Caller:
    return Caller(ProductService(memory, rules))


async def test_the_pages_hold_everything_once(caller: Caller) -> None:
    await caller.have(7)
    page = await caller.list(3)
    seen, sizes = list(page.products), [len(page.products)]
    while page.next_after_product_id:
        page = await caller.list(3, page.next_after_product_id)
        seen += page.products
        sizes.append(len(page.products))
    assert sizes == [3, 3, 1]
    assert [each.name for each in seen] == [f"Tea {number}" for number in range(1, 8)]


async def test_how_many_are_in_a_page(caller: Caller) -> None:
    await caller.have(MOST_PRODUCTS + 1)
    assert len((await caller.list()).products) == USUAL_PRODUCTS
    assert len((await caller.list(MOST_PRODUCTS)).products) == MOST_PRODUCTS


@pytest.mark.parametrize(
    ("page_size", "after", "field"),
    [
        (-1, "", "page_size"),
        (MOST_PRODUCTS + 1, "", "page_size"),
        (1, "7", "after_product_id"),
        (1, " ", "after_product_id"),
    ],
)
async def test_what_is_no_page_is_named(caller: Caller, page_size: int, after: str, field: str) -> None:
    with pytest.raises(Invalid) as refused:
        await caller.list(page_size, after)
    assert [each.field for each in refused.value.fields] == [field]


def test_the_largest_page_fits_into_a_message() -> None:
    name, description = "🍵" * MAX_NAME_CHARACTERS, "🍵" * MAX_DESCRIPTION_CHARACTERS
    longest = Product(UUID(int=1), name, description, Money(MAX_AMOUNT, "KRW"), 2**31 - 1, archived=True)
    page = ListProductsResponse(
        products=[product_message(longest)] * MOST_PRODUCTS, next_after_product_id=str(longest.product_id)
    )
    assert page.ByteSize() < MOST_BYTES
