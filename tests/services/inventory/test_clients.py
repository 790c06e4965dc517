"""One suite for both catalogues: the fake, and the real one over a socket with the fake behind it."""

import secrets
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from shop.product.v1.product_pb2 import (
    DESCRIPTOR,
    GetProductsRequest,
    GetProductsResponse,
    ListProductsRequest,
    ListProductsResponse,
    Product,
)
from shop.product.v1.product_pb2_grpc import ProductServiceServicer, add_ProductServiceServicer_to_server

from services.inventory.clients import RemoteCatalogue
from services.inventory.domain.catalogue import Catalogue
from shared.auth.identity import IdentityVerifier
from shared.callers import OPERATOR
from shared.config import Secret
from shared.errors import Unavailable
from shared.rpc.channel import Channel
from shared.rpc.server import RpcService, serve_rpc
from shared.runtime import Readiness
from tests.services.inventory.fake_catalogue import FakeCatalogue

KEY = Secret("k1:" + secrets.token_urlsafe(32))
PAGE = 2  # products
PRODUCTS = tuple(UUID(int=number) for number in range(2 * PAGE))


class ProductCalls(ProductServiceServicer):
    """A product service that has what `catalogue` has."""

    def __init__(self, catalogue: FakeCatalogue) -> None:
        self._catalogue = catalogue

    async def GetProducts(self, request: GetProductsRequest, _: object) -> GetProductsResponse:  # noqa: N802
        raise NotImplementedError  # the inventory does not ask

    async def ListProducts(self, request: ListProductsRequest, _: object) -> ListProductsResponse:  # noqa: N802
        known = [str(each) async for each in self._catalogue.every_product()]
        wanted = [each for each in known if each > request.after_product_id]
        products = [Product(product_id=each) for each in wanted[:PAGE]]
        next_after = products[-1].product_id if len(wanted) > PAGE else ""
        return ListProductsResponse(products=products, next_after_product_id=next_after)


@pytest.fixture
def catalogue() -> FakeCatalogue:
    return FakeCatalogue(*PRODUCTS)


@pytest.fixture
async def remote(catalogue: FakeCatalogue) -> AsyncIterator[RemoteCatalogue]:
    contract = DESCRIPTOR.services_by_name["ProductService"]
    calls = ProductCalls(catalogue)
    service = RpcService(contract, lambda server: add_ProductServiceServicer_to_server(calls, server))
    verifier = IdentityVerifier("product", {OPERATOR: KEY})
    async with (
        serve_rpc("product", [service], ("127.0.0.1", 0), verifier, Readiness()) as server,
        Channel(OPERATOR, "product", [f"127.0.0.1:{server.port}"], KEY) as channel,
    ):
        yield RemoteCatalogue(channel)


@pytest.fixture(params=["fake", "remote"])
def asked(request: pytest.FixtureRequest, catalogue: FakeCatalogue) -> Catalogue:
    if request.param == "fake":
        return catalogue
    over_a_socket: RemoteCatalogue = request.getfixturevalue("remote")
    return over_a_socket


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_all_that_there_are_come_once(asked: Catalogue, catalogue: FakeCatalogue, count: int) -> None:
    catalogue.product_ids = PRODUCTS[:count]
    assert [each async for each in asked.every_product()] == list(PRODUCTS[:count])


async def test_a_catalogue_that_goes_away_ends_no_snapshot(
    asked: Catalogue, catalogue: FakeCatalogue
) -> None:
    """Whoever got half of it would take it for all."""
    snapshot = asked.every_product()
    assert await anext(snapshot) == PRODUCTS[0]
    catalogue.is_away = True
    with pytest.raises(Unavailable):
        [each async for each in snapshot]
