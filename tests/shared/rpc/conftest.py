"""A server of the catalogue's contract, whose one call does what a test says, and a channel to it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from grpc import aio
from shop.product.v1.product_pb2 import (
    DESCRIPTOR,
    GetProductsRequest,
    GetProductsResponse,
    ListProductsRequest,
    ListProductsResponse,
)
from shop.product.v1.product_pb2_grpc import (
    ProductServiceServicer,
    ProductServiceStub,
    add_ProductServiceServicer_to_server,
)

from shared import context
from shared.auth.identity import IdentityVerifier
from shared.config import Secret
from shared.rpc.channel import Channel
from shared.rpc.server import RpcServer, RpcService, serve_rpc
from shared.runtime import Readiness

KEY = Secret("k1:" + secrets.token_urlsafe(32))
CONTRACT = DESCRIPTOR.services_by_name["ProductService"]
PATH = "/shop.product.v1.ProductService/GetProducts"

Behaviour = Callable[[GetProductsRequest], Awaitable[GetProductsResponse]]


@dataclass
class Seen:
    """What a call found around it."""

    request_id: str
    trace_id: str
    principal: context.Principal
    deadline: float | None


async def nothing(_: GetProductsRequest) -> GetProductsResponse:
    return GetProductsResponse()


@dataclass
class Callee(ProductServiceServicer):
    """A service that does what a test says, and remembers what it saw."""

    behaviour: Behaviour = nothing
    seen: list[Seen] = field(default_factory=list)

    async def GetProducts(self, request: GetProductsRequest, _: object) -> GetProductsResponse:  # noqa: N802
        trace = context.trace.get()
        self.seen.append(
            Seen(
                context.request_id.get(),
                trace.trace_id if trace else "",
                context.principal.get(),
                context.deadline.get(),
            )
        )
        return await self.behaviour(request)

    async def ListProducts(self, request: ListProductsRequest, _: object) -> ListProductsResponse:  # noqa: N802
        raise NotImplementedError  # nobody asks

    def service(self) -> RpcService:
        return RpcService(CONTRACT, lambda server: add_ProductServiceServicer_to_server(self, server))


@pytest.fixture
def callee() -> Callee:
    return Callee()


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
async def server(callee: Callee, readiness: Readiness) -> AsyncIterator[RpcServer]:
    verifier = IdentityVerifier("product", {"order": KEY})
    async with serve_rpc(
        "product", [callee.service()], ("127.0.0.1", 0), verifier, readiness, reflects=True
    ) as running:
        yield running


@pytest.fixture
async def channel(server: RpcServer) -> AsyncIterator[Channel]:
    async with Channel("order", "product", [f"127.0.0.1:{server.port}"], KEY) as opened:
        yield opened


@pytest.fixture
async def stranger(server: RpcServer) -> AsyncIterator[aio.Channel]:
    """Somebody without a key."""
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as opened:
        yield opened


async def get_products(channel: Channel, *product_ids: str, seconds: float = 10.0) -> GetProductsResponse:
    stub = ProductServiceStub(channel.raw)
    return await channel.call(stub.GetProducts, GetProductsRequest(product_ids=product_ids), seconds=seconds)


async def for_ever(_: GetProductsRequest) -> GetProductsResponse:
    await asyncio.get_running_loop().create_future()
    raise AssertionError("unreachable")
