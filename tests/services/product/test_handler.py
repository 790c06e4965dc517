"""The catalogue's HTTP face, over requests and responses without sockets."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest

from services.product.handler import product_routes
from services.product.service import ProductService
from shared.context import ANONYMOUS
from shared.rules import Rule
from tests.services.asking import CUSTOMER, Asking, bad_fields, header, problem_code, read
from tests.services.product.memory_repository import MemoryProductRepository

UNKNOWN = "7bf51d0d-5ad3-4291-bac8-14694dff34d2"
TEA = {"name": "Tea", "description": "Green.", "price": {"amount": 9_800, "currency": "KRW"}}


class Catalogue(Asking):
    async def create(self, **changes: object) -> dict[str, Any]:
        product: dict[str, Any] = read(await self.ask("POST", "/products", TEA | changes))
        return product


@pytest.fixture
def catalogue(memory: MemoryProductRepository, rules: Mapping[str, Rule]) -> Catalogue:
    return Catalogue(product_routes(ProductService(memory, rules), rules))


async def test_a_created_product_is_where_its_location_says(catalogue: Catalogue) -> None:
    created = await catalogue.ask("POST", "/products", TEA)
    assert created.status == 201
    product = read(created)
    assert product == {"product_id": product["product_id"], **TEA, "version": 1, "archived": False}
    location = header(created, "location")
    assert location == f"/products/{product['product_id']}"
    got = await catalogue.ask("GET", location, by=ANONYMOUS)
    assert got.status == 200
    assert read(got) == product
    assert header(got, "etag") == header(created, "etag") == '"1"'


async def test_a_description_may_be_left_out(catalogue: Catalogue) -> None:
    bare = {key: value for key, value in TEA.items() if key != "description"}
    assert read(await catalogue.ask("POST", "/products", bare))["description"] == ""


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"name": None}, ["name"]),
        ({"name": "x" * 201}, ["name"]),
        ({"name": "a\x00b"}, ["name"]),
        ({"description": "x" * 4001}, ["description"]),
        ({"price": {"amount": True, "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": 1.5, "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": "1", "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": -1, "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": 2**53, "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": 10**40, "currency": "KRW"}}, ["price.amount"]),
        ({"price": {"amount": 1, "currency": "USD"}}, ["price.currency"]),
        ({"price": {"amount": 1, "currency": "krw"}}, ["price.currency"]),
        ({"price": {"amount": 1}}, ["price.currency"]),
        ({"price": 9_800}, ["price"]),
        ({"version": 3, "colour": "red"}, ["version", "colour"]),
        (
            {"name": " ", "description": 1, "price": {"amount": -1, "currency": "XBT", "tax": 0}},
            ["name", "price.amount", "price.currency", "price.tax", "description"],
        ),
    ],
)
async def test_every_bad_field_is_named(
    catalogue: Catalogue, changes: dict[str, Any], fields: list[str]
) -> None:
    assert bad_fields(await catalogue.ask("POST", "/products", TEA | changes)) == fields
    product = await catalogue.create()
    patched = await catalogue.ask("PATCH", f"/products/{product['product_id']}", changes)
    assert bad_fields(patched) == fields


async def test_missing_fields_are_named_too(catalogue: Catalogue) -> None:
    assert bad_fields(await catalogue.ask("POST", "/products", {})) == ["name", "price"]
    assert bad_fields(await catalogue.ask("POST", "/products", [])) == ["(body)"]


async def test_what_is_no_json_is_malformed(catalogue: Catalogue) -> None:
    assert (await catalogue.ask("POST", "/products", b'{"name":"\\ud800"}')).status == 400
    assert (await catalogue.ask("POST", "/products", b"{}", content_type="text/xml")).status == 415


@pytest.mark.parametrize(
    ("method", "target"),
    [("POST", "/products"), ("PATCH", "/products/{}"), ("DELETE", "/products/{}")],
)
async def test_only_admins_write(catalogue: Catalogue, method: str, target: str) -> None:
    product = await catalogue.create()
    target = target.format(product["product_id"])
    nobody = await catalogue.ask(method, target, TEA, by=ANONYMOUS)
    assert nobody.status == 401
    assert header(nobody, "www-authenticate") == 'Bearer realm="plainstack"'
    assert (await catalogue.ask(method, target, TEA, by=CUSTOMER)).status == 403
    listed = read(await catalogue.ask("GET", "/products", by=ANONYMOUS))
    assert listed == {"items": [product], "next": None}


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
@pytest.mark.parametrize("text", [UNKNOWN, "7", "x" * 36, "%00", "..%2F", f"{{{UNKNOWN}}}"])
async def test_unknown_products_are_not_found(catalogue: Catalogue, method: str, text: str) -> None:
    assert (await catalogue.ask(method, f"/products/{text}", {})).status == 404


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [('"1"', 304), ('W/"1"', 304), ('"9", "1"', 304), ("*", 304), ('"2"', 200), ('"1', 200), ("1", 200)],
)
async def test_a_client_with_this_version_is_told_so(
    catalogue: Catalogue, if_none_match: str, status: int
) -> None:
    product = await catalogue.create()
    target = f"/products/{product['product_id']}"
    response = await catalogue.ask("GET", target, if_none_match=if_none_match)
    assert response.status == status
    assert header(response, "etag") == '"1"'
    assert (response.body == b"") is (status == 304)


async def test_a_change_has_a_new_entity_tag(catalogue: Catalogue) -> None:
    product = await catalogue.create()
    target = f"/products/{product['product_id']}"
    changed = await catalogue.ask("PATCH", target, {"name": "Coffee"})
    assert changed.status == 200
    assert read(changed) == product | {"name": "Coffee", "version": 2}
    assert header(changed, "etag") == '"2"'
    assert (await catalogue.ask("GET", target, if_none_match='"1"')).status == 200


async def test_changing_nothing_keeps_the_entity_tag(catalogue: Catalogue) -> None:
    product = await catalogue.create()
    for change in ({}, {"name": "  Tea "}, TEA):
        same = await catalogue.ask("PATCH", f"/products/{product['product_id']}", change)
        assert same.status == 200
        assert read(same) == product


@pytest.mark.parametrize(
    ("if_match", "status"),
    [
        ('"1"', 200),
        ("*", 200),
        ('"0", "1"', 200),
        ('"0","a,b" ,"1"', 200),
        ('"2"', 412),
        ('W/"1"', 412),
        ('""', 412),
        ("1", 400),
        ("", 400),
        ('"1" or so', 400),
    ],
)
async def test_if_match(catalogue: Catalogue, if_match: str, status: int) -> None:
    product = await catalogue.create()
    target = f"/products/{product['product_id']}"
    assert (await catalogue.ask("PATCH", target, {"name": "Coffee"}, if_match=if_match)).status == status
    assert read(await catalogue.ask("GET", target))["name"] == ("Coffee" if status == 200 else "Tea")


async def test_archiving(catalogue: Catalogue) -> None:
    product = await catalogue.create()
    target = f"/products/{product['product_id']}"
    assert (await catalogue.ask("DELETE", target, if_match='"7"')).status == 412
    for _ in range(2):  # the second time as a client whose first answer was lost
        archived = await catalogue.ask("DELETE", target, if_match='"1"')
        assert (archived.status, archived.body) == (204, b"")
    got = await catalogue.ask("GET", target)
    assert read(got) == product | {"archived": True, "version": 2}
    assert header(got, "etag") == '"2"'
    assert read(await catalogue.ask("GET", "/products"))["items"] == []
    refused = await catalogue.ask("PATCH", target, {"name": "Coffee"})
    assert refused.status == 409
    assert problem_code(refused) == "product-archived"


async def test_the_pages_hold_everything_once(catalogue: Catalogue) -> None:
    created = [(await catalogue.create(name=f"Tea {number}"))["product_id"] for number in range(7)]
    seen, cursor, sizes = [], "", []
    while cursor is not None:
        page = read(await catalogue.ask("GET", f"/products?limit=3&cursor={cursor}", by=ANONYMOUS))
        seen += [each["product_id"] for each in page["items"]]
        sizes.append(len(page["items"]))
        cursor = page["next"]
    assert sizes == [3, 3, 1]
    assert sorted(seen) == sorted(created)
    assert seen == sorted(seen, reverse=True)


async def test_the_default_page_has_20(catalogue: Catalogue) -> None:
    for _ in range(21):
        await catalogue.create()
    page = read(await catalogue.ask("GET", "/products"))
    assert len(page["items"]) == 20
    assert page["next"]


async def test_search(catalogue: Catalogue) -> None:
    await catalogue.create(name="100% 녹차")
    await catalogue.create(name="Coffee", description="Not TEA.")
    for q, names in {"녹차": ["100% 녹차"], "%": ["100% 녹차"], "tea": ["Coffee"], "_": []}.items():
        found = read(await catalogue.ask("GET", f"/products?q={quote(q)}"))
        assert [each["name"] for each in found["items"]] == names


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=-1", ["limit"]),
        ("limit=", ["limit"]),
        ("limit=ten", ["limit"]),
        ("limit=%D9%A3", ["limit"]),
        ("limit=" + "9" * 400, ["limit"]),
        ("cursor=x", ["cursor"]),
        ("cursor=" + "A" * 21, ["cursor"]),
        ("cursor=" + "A" * 23, ["cursor"]),
        ("cursor=" + "A" * 21 + "B", ["cursor"]),
        ("cursor=%E2%82%AC", ["cursor"]),
        ("q=" + "x" * 201, ["q"]),
        ("q=%00", ["q"]),
        ("limit=0&cursor=!&q=%0A", ["limit", "cursor", "q"]),
    ],
)
async def test_bad_parameters_are_named(catalogue: Catalogue, query: str, fields: list[str]) -> None:
    assert bad_fields(await catalogue.ask("GET", f"/products?{query}")) == fields


async def test_a_query_that_is_no_text_is_malformed(catalogue: Catalogue) -> None:
    assert (await catalogue.ask("GET", "/products?q=%ff")).status == 400


async def test_parameters_we_do_not_know_are_left_alone(catalogue: Catalogue) -> None:
    assert (await catalogue.ask("GET", "/products?utm_source=x&limit=1")).status == 200


async def test_other_methods_are_named(catalogue: Catalogue) -> None:
    refused = await catalogue.ask("PUT", "/products", {})
    assert refused.status == 405
    assert header(refused, "allow") == "GET, HEAD, OPTIONS, POST"


async def test_identifiers_sort_by_the_time_of_creation(catalogue: Catalogue) -> None:
    assert UUID((await catalogue.create())["product_id"]).version == 7
