"""The catalogue over HTTP and gRPC: decode, ask the service, encode."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import UNSET, Struct, UnsetType
from shop.product.v1.product_pb2 import (
    DESCRIPTOR,
    GetProductsRequest,
    GetProductsResponse,
    ListProductsRequest,
    ListProductsResponse,
)
from shop.product.v1.product_pb2_grpc import ProductServiceServicer, add_ProductServiceServicer_to_server

from services.product.domain import Product, ProductChange, ProductDetails, search_fault
from services.product.events import product_message
from services.product.service import ProductService
from shared.errors import FieldError
from shared.http.conditional import entity_tag, if_match, is_not_modified
from shared.http.decoding import path_id, read_json, read_query
from shared.http.messages import Request, Response, json_response
from shared.http.money import MoneyBody
from shared.http.paging import PageQuery, cursor_fault, page_document
from shared.http.routing import Route
from shared.middleware.authorize import authorize
from shared.rpc.decoding import read_id, read_ids
from shared.rpc.server import RpcService, rpc_service
from shared.rules import Rule, refuse

MOST_PRODUCTS, USUAL_PRODUCTS = 200, 100  # in a page of ListProducts; what the contract says


class NewProductBody(Struct, forbid_unknown_fields=True):
    """What `POST /products` takes."""

    name: str
    price: MoneyBody
    description: str = ""


class ProductChangeBody(Struct, forbid_unknown_fields=True):
    """What `PATCH /products/{product_id}` takes: what is left out stays as it is."""

    name: str | UnsetType = UNSET
    price: MoneyBody | UnsetType = UNSET
    description: str | UnsetType = UNSET


class BrowseQuery(PageQuery):
    """What `GET /products` takes."""

    q: str = ""


def product_routes(products: ProductService, rules: Mapping[str, Rule]) -> list[Route]:
    """The rows of the catalogue in the service's table."""
    handler = ProductHandler(products, rules)
    for_admins = authorize({"admin"})
    return [
        Route("GET", "/products", handler.browse),
        Route("POST", "/products", for_admins(handler.create)),
        Route("GET", "/products/{product_id}", handler.get),
        Route("PATCH", "/products/{product_id}", for_admins(handler.change)),
        Route("DELETE", "/products/{product_id}", for_admins(handler.archive)),
    ]


class ProductHandler:
    """One method a row. `rules` let a body's wrong types and broken rules be named together."""

    def __init__(self, products: ProductService, rules: Mapping[str, Rule]) -> None:
        self._products = products
        self._rules = rules

    async def browse(self, request: Request) -> Response:
        """A page of what is on offer, newest first."""
        query = read_query(request, BrowseQuery, {"cursor": cursor_fault, "q": search_fault})
        page = await self._products.browse(query.q, query.after, query.limit)
        return json_response(200, page_document(map(_view, page.items), page.next))

    async def get(self, request: Request) -> Response:
        """One product, archived or not; 304 to a client that has this version."""
        product = await self._products.get(_product_id(request))
        if is_not_modified(request.headers, product.version):
            return Response(304, [("ETag", entity_tag(product.version))])
        return _full(200, product)

    async def create(self, request: Request) -> Response:
        """A new product."""
        body = await read_json(request, NewProductBody, self._rules)
        details = ProductDetails(body.name, body.description, body.price.to_money())
        product = await self._products.create(details)
        return _full(201, product, ("Location", f"/products/{product.product_id}"))

    async def change(self, request: Request) -> Response:
        """Some fields of a product are different from now on."""
        body = await read_json(request, ProductChangeBody, self._rules)
        change = ProductChange(
            name=None if body.name is UNSET else body.name,
            description=None if body.description is UNSET else body.description,
            price=None if body.price is UNSET else body.price.to_money(),
        )
        product = await self._products.change(_product_id(request), change, if_match(request.headers))
        return _full(200, product)

    async def archive(self, request: Request) -> Response:
        """The product leaves the offer."""
        await self._products.archive(_product_id(request), if_match(request.headers))
        return Response(204)


class ProductCalls(ProductServiceServicer):
    """What other services ask, one method a call."""

    def __init__(self, products: ProductService) -> None:
        self._products = products

    async def GetProducts(self, request: GetProductsRequest, _: object) -> GetProductsResponse:  # noqa: N802
        """The products that there are of those asked for."""
        found = await self._products.get_all(read_ids("product_ids", request.product_ids))
        return GetProductsResponse(products=map(product_message, found))

    async def ListProducts(self, request: ListProductsRequest, _: object) -> ListProductsResponse:  # noqa: N802
        """A page of all products, archived or not."""
        after = read_id("after_product_id", request.after_product_id) if request.after_product_id else None
        page = await self._products.go_through(after, _page_size(request.page_size))
        next_after = "" if page.next is None else str(page.next)
        return ListProductsResponse(
            products=map(product_message, page.items), next_after_product_id=next_after
        )


def product_calls(products: ProductService) -> RpcService:
    """The contract of the catalogue, answered."""
    return rpc_service(DESCRIPTOR, add_ProductServiceServicer_to_server, ProductCalls(products))


def _product_id(request: Request) -> UUID:
    return path_id(request, "product_id", "There is no such product.")


def _page_size(given: int) -> int:
    """Raises Invalid."""
    if not 0 <= given <= MOST_PRODUCTS:
        refuse([FieldError("page_size", f"Must be from 0 to {MOST_PRODUCTS}, not {given}")])
    return given or USUAL_PRODUCTS


def _view(product: Product) -> dict[str, Any]:
    """A product as clients see it."""
    return {
        "product_id": product.product_id,
        "name": product.name,
        "description": product.description,
        "price": product.price,
        "version": product.version,
        "archived": product.archived,
    }


def _full(status: int, product: Product, *headers: tuple[str, str]) -> Response:
    return json_response(status, _view(product), [("ETag", entity_tag(product.version)), *headers])
