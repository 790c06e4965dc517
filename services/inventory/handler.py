"""The inventory over HTTP, gRPC and the bus: decode, ask the service, encode."""

from typing import Any
from uuid import UUID

from msgspec import Struct
from shop.inventory.v1.inventory_pb2 import (
    DESCRIPTOR,
    CommitOutcome,
    CommitRequest,
    CommitResponse,
    GetStockRequest,
    GetStockResponse,
    ReleaseOutcome,
    ReleaseRequest,
    ReleaseResponse,
    ReservationItem,
    ReserveOutcome,
    ReserveRequest,
    ReserveResponse,
)
from shop.inventory.v1.inventory_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from shop.product.v1.events_pb2 import ProductCreated

from services.inventory.domain.reservations import Item
from services.inventory.domain.stock import STOCK_RULES, Stock
from services.inventory.events import stock_message
from services.inventory.service import InventoryService, StockOpening
from shared.events.consumer import Subscription
from shared.http.conditional import entity_tag, if_match, is_not_modified
from shared.http.decoding import path_id, read_json
from shared.http.messages import Request, Response, json_response
from shared.http.routing import Route
from shared.middleware.authorize import authorize, user_id_of
from shared.rpc.decoding import read_id, read_ids
from shared.rpc.server import RpcService, rpc_service
from shared.rpc.values import timestamp


class CountBody(Struct, forbid_unknown_fields=True):
    """What `PUT /inventory/{product_id}` takes."""

    on_hand: int


def inventory_routes(inventory: InventoryService) -> list[Route]:
    """The rows of the inventory in the service's table."""
    handler = InventoryHandler(inventory)
    for_admins = authorize({"admin"})
    return [
        Route("GET", "/inventory/{product_id}", handler.get),
        Route("PUT", "/inventory/{product_id}", for_admins(handler.count)),
    ]


def inventory_calls(inventory: InventoryService) -> RpcService:
    """The contract of the inventory, answered."""
    return rpc_service(DESCRIPTOR, add_InventoryServiceServicer_to_server, InventoryCalls(inventory))


def catalogue_subscription(opening: StockOpening) -> Subscription:
    """Whatever comes into the catalogue is opened; what else becomes of it is none of our business."""

    async def open_stock(event: ProductCreated) -> None:
        await opening.open(read_id("product.product_id", event.product.product_id))

    return Subscription("product", {ProductCreated: open_stock})


class InventoryHandler:
    """What clients ask, one method a row."""

    def __init__(self, inventory: InventoryService) -> None:
        self._inventory = inventory

    async def get(self, request: Request) -> Response:
        """How much there is of a product; 304 to a client that knows."""
        stock = await self._inventory.get(_product_id(request))
        if is_not_modified(request.headers, stock.version):
            return Response(304, [("ETag", entity_tag(stock.version))])
        return _full(stock)

    async def count(self, request: Request) -> Response:
        """There are so many pieces from now on."""
        body = await read_json(request, CountBody, STOCK_RULES)
        by, is_expected = user_id_of(request.principal), if_match(request.headers)
        return _full(await self._inventory.count(_product_id(request), body.on_hand, by, is_expected))


class InventoryCalls(InventoryServiceServicer):
    """What other services ask, one method a call."""

    def __init__(self, inventory: InventoryService) -> None:
        self._inventory = inventory

    async def GetStock(self, request: GetStockRequest, _: object) -> GetStockResponse:  # noqa: N802
        """The stock that there is of the products asked for."""
        found = await self._inventory.get_all(read_ids("product_ids", request.product_ids))
        return GetStockResponse(stock=map(stock_message, found))

    async def Reserve(self, request: ReserveRequest, _: object) -> ReserveResponse:  # noqa: N802
        """Set all items aside, or none."""
        reservation_id = read_id("reservation_id", request.reservation_id)
        items = [_item(number, each) for number, each in enumerate(request.items)]
        answer = await self._inventory.reserve(reservation_id, items)
        return ReserveResponse(
            outcome=ReserveOutcome.Value(f"RESERVE_OUTCOME_{answer.outcome}"),
            expires_at=timestamp(answer.expires_at) if answer.expires_at else None,
            short_product_ids=map(str, answer.short_product_ids),
        )

    async def Release(self, request: ReleaseRequest, _: object) -> ReleaseResponse:  # noqa: N802
        """Give back what is set aside."""
        outcome = await self._inventory.release(read_id("reservation_id", request.reservation_id))
        return ReleaseResponse(outcome=ReleaseOutcome.Value(f"RELEASE_OUTCOME_{outcome}"))

    async def Commit(self, request: CommitRequest, _: object) -> CommitResponse:  # noqa: N802
        """Let the goods leave."""
        outcome = await self._inventory.commit(read_id("reservation_id", request.reservation_id))
        return CommitResponse(outcome=CommitOutcome.Value(f"COMMIT_OUTCOME_{outcome}"))


def _product_id(request: Request) -> UUID:
    return path_id(request, "product_id", "There has never been any stock of such a product.")


def _view(stock: Stock) -> dict[str, Any]:
    """Stock as clients see it."""
    return {
        "product_id": stock.product_id,
        "on_hand": stock.on_hand,
        "reserved": stock.reserved,
        "available": stock.available,
    }


def _full(stock: Stock) -> Response:
    return json_response(200, _view(stock), [("ETag", entity_tag(stock.version))])


def _item(number: int, item: ReservationItem) -> Item:
    """The `number`-th of a request's items."""
    return Item(read_id(f"items[{number}].product_id", item.product_id), item.quantity)
