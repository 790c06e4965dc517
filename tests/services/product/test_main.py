"""The whole service: real sockets, a real database, signed requests."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from shop.product.v1.product_pb2 import GetProductsRequest, ListProductsRequest, Product
from shop.product.v1.product_pb2_grpc import ProductServiceStub

from services.product.main import NAME, main
from shared.config import Secret
from shared.context import ANONYMOUS
from shared.errors import Invalid, Unavailable
from shared.events.envelope import decode
from shared.events.transports import open_bus
from tests.services.running import ADMIN, RunningService, running
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

UNKNOWN = "7bf51d0d-5ad3-4291-bac8-14694dff34d2"
TEA = {"name": "녹차", "price": {"amount": 9_800, "currency": "KRW"}}


@pytest.fixture
async def service(database_url: Secret, tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running(NAME, main, database_url, tmp_path) as service:
        await service.until_ready()
        yield service


async def test_a_products_life(service: RunningService) -> None:
    created, product = await service.ask("POST", "/products", TEA)
    assert created.status == 201
    target = created.headers.get("location") or ""
    got, same = await service.ask("GET", target, None, ANONYMOUS)
    assert (got.status, same, got.headers.get("etag")) == (200, product, '"1"')
    unchanged, nothing = await service.ask("GET", target, None, ANONYMOUS, ("If-None-Match", '"1"'))
    assert (unchanged.status, nothing) == (304, None)
    changed, now = await service.ask("PATCH", target, {"description": "Jeju"}, ADMIN, ("If-Match", '"1"'))
    assert (changed.status, now["version"]) == (200, 2)
    stale, _ = await service.ask("PATCH", target, {"description": "?"}, ADMIN, ("If-Match", '"1"'))
    assert stale.status == 412
    _, page = await service.ask("GET", "/products?q=JEJU", None, ANONYMOUS)
    assert page == {"items": [now], "next": None}
    archived, _ = await service.ask("DELETE", target)
    assert archived.status == 204
    _, last = await service.ask("GET", target)
    assert last["archived"] is True


async def test_head_tells_what_get_would(service: RunningService) -> None:
    created, _ = await service.ask("POST", "/products", TEA)
    target = created.headers.get("location") or ""
    got, _ = await service.ask("GET", target)
    head, nothing = await service.ask("HEAD", target)
    assert (head.status, nothing) == (200, None)
    assert head.headers.get("etag") == '"1"'
    assert head.headers.get("content-length") == got.headers.get("content-length")


async def test_other_services_ask_for_many_products_at_once(service: RunningService) -> None:
    made = [(await service.ask("POST", "/products", TEA))[1]["product_id"] for _ in range(2)]
    await service.ask("DELETE", f"/products/{made[1]}")
    async with service.channel("order") as channel:
        stub = ProductServiceStub(channel.raw)
        request = GetProductsRequest(product_ids=[*made, UNKNOWN])
        answer = await channel.call(stub.GetProducts, request, seconds=10.0)
        found = {each.product_id: each for each in answer.products}
        assert found.keys() == set(made)
        kept, archived = found[made[0]], found[made[1]]
        assert (kept.name, kept.price.amount, kept.price.currency, kept.version) == ("녹차", 9_800, "KRW", 1)
        assert (kept.archived, archived.archived) == (False, True)
        with pytest.raises(Invalid) as refused:
            await channel.call(stub.GetProducts, GetProductsRequest(product_ids=["7"]), seconds=10.0)
        assert [each.field for each in refused.value.fields] == ["product_ids[0]"]


async def test_other_services_go_through_all_products(service: RunningService) -> None:
    made = [(await service.ask("POST", "/products", TEA))[1]["product_id"] for _ in range(3)]
    await service.ask("DELETE", f"/products/{made[0]}")
    async with service.channel("order") as channel:
        stub = ProductServiceStub(channel.raw)
        found: list[Product] = []
        after = ""
        while after or not found:
            request = ListProductsRequest(page_size=2, after_product_id=after)
            answer = await channel.call(stub.ListProducts, request, seconds=10.0)
            found += answer.products
            after = answer.next_after_product_id
        assert [each.product_id for each in found] == sorted(made)
        assert {each.product_id for each in found if each.archived} == {made[0]}


async def test_what_happens_while_the_bus_is_away_is_reported_later(
    database_url: Secret, tmp_path: Path, valkey: Valkey
) -> None:
    valkey.kill()
    async with running(NAME, main, database_url, tmp_path, EVENTS_URL=valkey.url.value) as service:
        await service.until_ready()
        _, product = await service.ask("POST", "/products", TEA)
        target = f"/products/{product['product_id']}"
        await service.ask("PATCH", target, {"name": "Tea", "description": "Jeju"})
        await service.ask("DELETE", target)
        assert await reported(service) == []
        valkey.start()
        kinds = ["Created", "NameChanged", "DescriptionChanged", "Archived"]
        expected = [(f"shop.product.v1.Product{kind}", product["product_id"]) for kind in kinds]

        async def are_all_there() -> bool:
            return await reported(service) == expected

        await eventually(are_all_there, seconds=30.0)


async def reported(service: RunningService) -> list[tuple[str, str]]:
    """Kind and subject of everything on the bus; nothing while that is away."""
    async with open_bus(service.environment) as bus:
        try:
            events = [decode(message.value) async for message in bus.history(NAME)]
        except Unavailable:
            return []
    return [(each.type, each.subject) for each in events]


@pytest.mark.races
async def test_many_changes_at_once_are_all_counted(service: RunningService) -> None:
    created, _ = await service.ask("POST", "/products", TEA)
    target = created.headers.get("location") or ""
    answers = await asyncio.gather(
        *(service.ask("PATCH", target, {"price": {"amount": n, "currency": "KRW"}}) for n in range(1, 21))
    )
    assert sorted(product["version"] for _, product in answers) == list(range(2, 22))


async def test_without_its_database_it_runs_and_says_so(tmp_path: Path) -> None:
    nowhere = Secret("postgresql://product:hunter2@127.0.0.1:1/product")
    async with running(NAME, main, nowhere, tmp_path) as service:
        said = await service.until_ready(503)
        assert "refused" in said["failures"]["database"]
        assert "hunter2" not in json.dumps(said)
        refused, problem = await service.ask("GET", "/products")
        assert (refused.status, problem["status"]) == (503, 503)
        assert refused.headers.get("retry-after") == "1"
