"""Orders over HTTP, gRPC and the bus: decode, ask the service, encode."""

import json
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, get_args
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from shop.order.v1.order_pb2 import DESCRIPTOR, GetOrderRequest, GetOrderResponse
from shop.order.v1.order_pb2_grpc import OrderServiceServicer, add_OrderServiceServicer_to_server
from shop.product.v1.events_pb2 import (
    ProductArchived,
    ProductCreated,
    ProductDescriptionChanged,
    ProductNameChanged,
    ProductPriceChanged,
)

from services.order.domain.articles import Article
from services.order.domain.orders import Asker, Basket, Order, OrderItem, OrderStatus, WantedItem
from services.order.events import order_message
from services.order.service.copies import CatalogueCopies
from services.order.service.orders import OrderService
from shared import context
from shared.context import Principal
from shared.errors import NotFound, Unavailable
from shared.events.consumer import Subscription
from shared.http.decoding import path_id, read_json, read_query
from shared.http.messages import NO_STORE, Request, Response, json_response
from shared.http.money import MoneyBody
from shared.http.paging import PageQuery, cursor_fault, page_document
from shared.http.preferences import wait_applied, wait_preference
from shared.http.routing import Route
from shared.idempotency import REPLAYED, ClaimedCall, IdempotentCalls
from shared.middleware.authorize import user_id_of, users_only
from shared.rpc.decoding import read_id
from shared.rpc.server import RpcService, rpc_service
from shared.rpc.values import read_money
from shared.rules import Rule

WAIT_SECONDS = 20  # the longest that a client's `Prefer: wait` keeps a request: a gateway waits for 30
CANCELLING_SECONDS = 5.0  # undoing takes milliseconds while everybody is there

ProductEvent = (
    ProductCreated | ProductNameChanged | ProductDescriptionChanged | ProductPriceChanged | ProductArchived
)


class ItemBody(Struct, forbid_unknown_fields=True):
    """One of `items`."""

    product_id: UUID
    quantity: int


class NewOrderBody(Struct, forbid_unknown_fields=True):
    """What `POST /orders` takes."""

    items: list[ItemBody]
    expected_total: MoneyBody | UnsetType = UNSET


def order_routes(orders: OrderService, idempotent: IdempotentCalls, rules: Mapping[str, Rule]) -> list[Route]:
    """The rows of orders in the service's table."""
    handler = OrderHandler(orders, idempotent, rules)
    for_users = users_only()
    return [
        Route("POST", "/orders", for_users(handler.place)),
        Route("GET", "/orders", for_users(handler.browse)),
        Route("GET", "/orders/{order_id}", for_users(handler.get)),
        Route("POST", "/orders/{order_id}/cancel", for_users(handler.cancel)),
    ]


class OrderHandler:
    """One method a row. `rules` let a body's wrong types and broken rules be named together."""

    def __init__(self, orders: OrderService, idempotent: IdempotentCalls, rules: Mapping[str, Rule]) -> None:
        self._orders = orders
        self._idempotent = idempotent
        self._rules = rules

    async def place(self, request: Request) -> Response:
        """A new order, final if the client waits for that. Asked again under its key, it as it is then."""
        body = await read_json(request, NewOrderBody, self._rules)
        basket = _basket(body, _asker(request.principal))

        async def work(call: ClaimedCall) -> Response:
            draft = await self._orders.draft(basket)
            async with call.effect():
                placed = await self._orders.place(draft)
                await call.keep(_accepted(placed))
            return await self._once_settled(request, placed)

        return await self._idempotent.answer(request, body, work, partial(self._as_it_is_now, request))

    async def _once_settled(self, request: Request, order: Order, *headers: tuple[str, str]) -> Response:
        """The order is there, so whatever goes wrong while the client waits, it is told of that."""
        wish = wait_preference(request.headers.get("prefer"))
        if wish is None:
            return _accepted(order, *headers)
        seconds = min(wish, WAIT_SECONDS)
        with suppress(Unavailable):
            order = await self._orders.settled(order, seconds)
        return _accepted(order, wait_applied(seconds), *headers)

    async def _as_it_is_now(self, request: Request, first: Response) -> Response:
        document = json.loads(first.body) if isinstance(first.body, bytes) else {}
        if "order_id" not in document:
            return first  # a refusal
        order = await self._orders.get(UUID(document["order_id"]), _asker(request.principal))
        return await self._once_settled(request, order, REPLAYED)

    async def browse(self, request: Request) -> Response:
        """A page of the caller's orders, newest first, told from our own copies."""
        query = read_query(request, PageQuery, {"cursor": cursor_fault})
        page = await self._orders.browse(_asker(request.principal), query.after, query.limit)
        return json_response(200, page_document(map(_view, page.items), page.next), [NO_STORE])

    async def get(self, request: Request) -> Response:
        """One order, with its products' current names where the catalogue can be asked."""
        order = await self._orders.get(_order_id(request), _asker(request.principal))
        names = await self._orders.names(order)
        return json_response(200, _view(order, names.by_product, names.source), [NO_STORE])

    async def cancel(self, request: Request) -> Response:
        """The order is off, if it is not too late. PENDING means that not all of it has been undone yet."""
        order = await self._orders.cancel(_order_id(request), _asker(request.principal))
        order = await self._orders.settled(order, CANCELLING_SECONDS)
        return json_response(200, _view(order), [NO_STORE])


class OrderCalls(OrderServiceServicer):
    """What other services ask, one method a call."""

    def __init__(self, orders: OrderService) -> None:
        self._orders = orders

    async def GetOrder(self, request: GetOrderRequest, _: object) -> GetOrderResponse:  # noqa: N802
        """The order, if the caller speaks for somebody whose business it is."""
        order_id = read_id("order_id", request.order_id)
        principal = context.principal.get()
        if principal.is_anonymous:  # UNAUTHENTICATED would say that the calling service is not known
            raise NotFound("There is no such order.")
        order = await self._orders.get(order_id, _asker(principal))
        return GetOrderResponse(order=order_message(order))


def order_calls(orders: OrderService) -> RpcService:
    """The contract of orders, answered."""
    return rpc_service(DESCRIPTOR, add_OrderServiceServicer_to_server, OrderCalls(orders))


def catalogue_subscription(copies: CatalogueCopies) -> Subscription:
    """Whatever becomes of a product, its event carries all of it: that is what our copy is from then on.

    A new description is none of our business, but its version is: a copy that has it is like the original.
    """

    async def keep(event: ProductEvent) -> None:
        await copies.keep(_article(event))

    return Subscription("product", dict.fromkeys(get_args(ProductEvent), keep))


def _order_id(request: Request) -> UUID:
    return path_id(request, "order_id", "There is no such order.")


def _asker(principal: Principal) -> Asker:
    return Asker(user_id_of(principal), "admin" in principal.roles)


def _article(event: ProductEvent) -> Article:
    """Raises Invalid."""
    product = event.product
    product_id = read_id("product.product_id", product.product_id)
    return Article(product_id, product.name, read_money(product.price), product.archived, product.version)


def _basket(body: NewOrderBody, asker: Asker) -> Basket:
    items = [WantedItem(item.product_id, item.quantity) for item in body.items]
    expected = None if body.expected_total is UNSET else body.expected_total.to_money()
    return Basket(asker.user_id, items, expected)


def _accepted(order: Order, *headers: tuple[str, str]) -> Response:
    """Not decided yet, or decided since."""
    status = 202 if order.status is OrderStatus.PENDING else 201
    location = ("Location", f"/orders/{order.order_id}")
    return json_response(status, _view(order), [location, NO_STORE, *headers])


def _view(order: Order, names: Mapping[UUID, str] | None = None, names_from: str = "copy") -> dict[str, Any]:
    """An order as clients see it."""
    return {
        "order_id": order.order_id,
        "user_id": order.user_id,
        "status": order.status,
        "reason": order.reason or None,
        "items": [_item_view(item, names or {}) for item in order.items],
        "total": order.total,
        "names_from": names_from,
        "placed_at": order.placed_at,
    }


def _item_view(item: OrderItem, names: Mapping[UUID, str]) -> dict[str, Any]:
    return {
        "product_id": item.product_id,
        "product_name": names.get(item.product_id, item.product_name),
        "quantity": item.quantity,
        "unit_price": item.unit_price,
    }
