"""One suite for both catalogues: the fake, and the real one over a socket with the fake behind it."""

import asyncio
import math
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.product.v1.product_pb2 import (
    DESCRIPTOR,
    GetProductsRequest,
    GetProductsResponse,
    ListProductsRequest,
    ListProductsResponse,
    Product,
)
from shop.product.v1.product_pb2_grpc import ProductServiceServicer, add_ProductServiceServicer_to_server

from services.order.clients import RemoteCatalogue
from services.order.domain.articles import Article, Catalogue
from shared import context
from shared.auth.identity import IdentityVerifier
from shared.config import Secret
from shared.errors import DeadlineExceeded, Unavailable
from shared.rpc.channel import Channel
from shared.rpc.server import RpcService, serve_rpc
from shared.runtime import Readiness
from tests.services.order.conftest import MILK, OLD, TEA, UNKNOWN
from tests.services.order.fake_catalogue import FakeCatalogue

KEY = Secret("k1:" + secrets.token_urlsafe(32))
PATIENCE_SECONDS = 30.0
PAGE = 2  # products


class ProductCalls(ProductServiceServicer):
    """A product service that has what `catalogue` has."""

    def __init__(self, catalogue: FakeCatalogue) -> None:
        self._catalogue = catalogue

    async def GetProducts(self, request: GetProductsRequest, _: object) -> GetProductsResponse:  # noqa: N802
        if self._catalogue.takes_seconds:
            await asyncio.get_running_loop().create_future()
        articles = await self._catalogue.articles([*map(UUID, request.product_ids)], math.inf)
        return GetProductsResponse(products=map(_message, articles.values()))

    async def ListProducts(self, request: ListProductsRequest, _: object) -> ListProductsResponse:  # noqa: N802
        articles = [each async for each in self._catalogue.every_article()]
        products = [_message(each) for each in articles if str(each.product_id) > request.after_product_id]
        next_after = products[PAGE - 1].product_id if len(products) > PAGE else ""
        return ListProductsResponse(products=products[:PAGE], next_after_product_id=next_after)


def _message(article: Article) -> Product:
    return Product(
        product_id=str(article.product_id),
        name=article.name,
        price=MoneyMessage(amount=article.price.amount, currency=article.price.currency),
        archived=article.archived,
        version=article.version,
    )


@pytest.fixture
async def remote(catalogue: FakeCatalogue) -> AsyncIterator[RemoteCatalogue]:
    contract = DESCRIPTOR.services_by_name["ProductService"]
    calls = ProductCalls(catalogue)
    service = RpcService(contract, lambda server: add_ProductServiceServicer_to_server(calls, server))
    verifier = IdentityVerifier("product", {"order": KEY})
    async with (
        serve_rpc("product", [service], ("127.0.0.1", 0), verifier, Readiness()) as server,
        Channel("order", "product", [f"127.0.0.1:{server.port}"], KEY) as channel,
    ):
        yield RemoteCatalogue(channel)


@pytest.fixture(params=["fake", "remote"])
def asked(request: pytest.FixtureRequest, catalogue: FakeCatalogue) -> Catalogue:
    if request.param == "fake":
        return catalogue
    over_a_socket: RemoteCatalogue = request.getfixturevalue("remote")
    return over_a_socket


async def test_those_that_there_are_come_back_archived_or_not(
    asked: Catalogue, catalogue: FakeCatalogue
) -> None:
    wanted = [OLD.product_id, UNKNOWN, TEA.product_id, MILK.product_id]
    found = await asked.articles(wanted, PATIENCE_SECONDS)
    assert found == {each.product_id: each for each in (OLD, TEA, MILK)}
    assert catalogue.asked == [wanted]
    assert await asked.articles([UNKNOWN], PATIENCE_SECONDS) == {}


@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 2 * PAGE])
async def test_all_that_there_are_come_once(asked: Catalogue, catalogue: FakeCatalogue, count: int) -> None:
    offer = [replace(OLD, product_id=UUID(int=number), version=number + 1) for number in range(count)]
    catalogue.offer = {each.product_id: each for each in offer}
    assert [each async for each in asked.every_article()] == offer


async def test_a_catalogue_that_goes_away_ends_no_snapshot(
    asked: Catalogue, catalogue: FakeCatalogue
) -> None:
    """Whoever got half of it would take it for all."""
    snapshot = asked.every_article()
    assert await anext(snapshot) == TEA
    catalogue.be_away()
    with pytest.raises(Unavailable):
        [each async for each in snapshot]


async def test_a_catalogue_that_is_away_is_unavailable(asked: Catalogue, catalogue: FakeCatalogue) -> None:
    catalogue.be_away()
    with pytest.raises(Unavailable) as refused:
        await asked.articles([TEA.product_id], PATIENCE_SECONDS)
    assert refused.value.retry_after


async def test_a_catalogue_that_is_too_slow_is_unavailable(
    asked: Catalogue, catalogue: FakeCatalogue
) -> None:
    catalogue.takes_seconds = 60.0
    with pytest.raises(Unavailable):
        await asked.articles([TEA.product_id], 0.3)


async def test_when_the_requests_time_is_over_nobody_is_asked(
    remote: RemoteCatalogue, catalogue: FakeCatalogue
) -> None:
    context.deadline.set(time.monotonic() - 1.0)
    with pytest.raises(DeadlineExceeded):
        await remote.articles([TEA.product_id], PATIENCE_SECONDS)
    assert catalogue.asked == []
