"""The whole service: real sockets, a real database, signed requests and calls."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
from shop.inventory.v1 import inventory_pb2 as pb
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub

from services.inventory.main import MIGRATIONS, NAME, main, rebuild
from services.product.main import NAME as PRODUCT
from services.product.main import main as product_main
from shared.config import Secret
from shared.context import ANONYMOUS
from shared.errors import Conflict, Invalid, Unavailable
from shared.events.rebuilt import Rebuilt
from tests.engines import Engines
from tests.services.databases import opened
from tests.services.running import ADMIN, NO_BUS, RunningService, running
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

TEA, ORDER, OTHER = (str(UUID(int=number)) for number in (1, 1001, 1002))
AT_TEA = f"/inventory/{TEA}"
THREE_TEAS = pb.ReserveRequest(reservation_id=ORDER, items=[pb.ReservationItem(product_id=TEA, quantity=3)])


@pytest.fixture
async def service(database_url: Secret, tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running(NAME, main, database_url, tmp_path) as service:
        await service.until_ready()
        yield service


async def test_goods_from_the_count_to_the_commit(service: RunningService) -> None:
    put, stock = await service.ask("PUT", AT_TEA, {"on_hand": 10})
    assert (put.status, put.headers.get("etag")) == (200, '"1"')
    async with service.channel("order") as channel:
        stub = InventoryServiceStub(channel.raw)
        answer = await channel.call(stub.Reserve, THREE_TEAS)
        assert answer.outcome == pb.RESERVE_OUTCOME_RESERVED
        below, problem = await service.ask("PUT", AT_TEA, {"on_hand": 2})
        assert (below.status, problem["type"].rpartition(":")[2]) == (409, "below-reserved")
        _, reserved = await service.ask("GET", AT_TEA, None, ANONYMOUS)
        assert reserved == stock | {"reserved": 3, "available": 7}
        committed = await channel.call(stub.Commit, pb.CommitRequest(reservation_id=ORDER))
        assert committed.outcome == pb.COMMIT_OUTCOME_COMMITTED
        assert await channel.call(stub.Reserve, THREE_TEAS) == answer
        released = await channel.call(stub.Release, pb.ReleaseRequest(reservation_id=ORDER))
        assert released.outcome == pb.RELEASE_OUTCOME_ALREADY_COMMITTED
        found = await channel.call(stub.GetStock, pb.GetStockRequest(product_ids=[TEA, OTHER]))
    left = pb.Stock(product_id=TEA, on_hand=7, reserved=0, available=7, version=3)
    assert found == pb.GetStockResponse(stock=[left])
    stale, _ = await service.ask("PUT", AT_TEA, {"on_hand": 10}, ADMIN, ("If-Match", '"1"'))
    assert stale.status == 412
    unchanged, nothing = await service.ask("GET", AT_TEA, None, ANONYMOUS, ("If-None-Match", '"3"'))
    assert (unchanged.status, nothing) == (304, None)


async def test_refusals_reach_the_caller_as_what_they_are(service: RunningService) -> None:
    await service.ask("PUT", AT_TEA, {"on_hand": 10})
    async with service.channel("order") as channel:
        stub = InventoryServiceStub(channel.raw)
        with pytest.raises(Invalid) as refused:
            await channel.call(stub.Reserve, pb.ReserveRequest(reservation_id=ORDER))
        assert [each.field for each in refused.value.fields] == ["items"]
        await channel.call(stub.Reserve, THREE_TEAS)
        others = [pb.ReservationItem(product_id=TEA, quantity=4)]
        with pytest.raises(Conflict) as conflict:
            await channel.call(stub.Reserve, pb.ReserveRequest(reservation_id=ORDER, items=others))
        assert conflict.value.code == "other-items"


async def test_what_nobody_commits_is_given_back(database_url: Secret, tmp_path: Path) -> None:
    async with running(NAME, main, database_url, tmp_path, RESERVATION_SECONDS="0.001") as service:
        await service.until_ready()
        await service.ask("PUT", AT_TEA, {"on_hand": 10})
        async with service.channel("order") as channel:
            await channel.call(InventoryServiceStub(channel.raw).Reserve, THREE_TEAS)

        async def is_given_back() -> bool:
            response, _ = await service.ask("GET", AT_TEA)
            return response.headers.get("etag") == '"3"'

        await eventually(is_given_back, 20.0)
        _, stock = await service.ask("GET", AT_TEA)
        assert stock["available"] == 10


@asynccontextmanager
async def with_a_catalogue(
    database_url: Secret, product_url: Secret, home: Path, events_url: str = NO_BUS
) -> AsyncIterator[tuple[RunningService, RunningService]]:
    """The inventory beside a whole product service."""
    async with (
        running(PRODUCT, product_main, product_url, home, EVENTS_URL=events_url) as product,
        running(NAME, main, database_url, home, EVENTS_URL=events_url) as inventory,
    ):
        await asyncio.gather(product.until_ready(), inventory.until_ready())
        yield inventory, product


async def product_made(product: RunningService) -> str:
    """Where the inventory answers for it."""
    document = {"name": "Tea", "price": {"amount": 9_800, "currency": "KRW"}}
    _, made = await product.ask("POST", "/products", document)
    return f"/inventory/{made['product_id']}"


async def test_a_new_product_is_opened(
    database_url: Secret, engines: Engines, tmp_path: Path, valkey: Valkey
) -> None:
    catalogue = with_a_catalogue(database_url, engines.new_database(), tmp_path, valkey.url.value)
    async with catalogue as (inventory, product):
        at_tea = await product_made(product)

        async def is_there() -> bool:
            response, _ = await inventory.ask("GET", at_tea, None, ANONYMOUS)
            return response.status == 200

        await eventually(is_there, 20.0)
        response, stock = await inventory.ask("GET", at_tea, None, ANONYMOUS)
        assert (stock["on_hand"], stock["reserved"], stock["available"]) == (0, 0, 0)
        assert response.headers.get("etag") == '"1"'


async def test_what_no_event_has_brought_is_opened_by_a_rebuild(
    database_url: Secret, engines: Engines, tmp_path: Path
) -> None:
    async with with_a_catalogue(database_url, engines.new_database(), tmp_path) as (inventory, product):
        at_tea = await product_made(product)
        assert (await inventory.ask("GET", at_tea))[0].status == 404
        async with opened(database_url, MIGRATIONS) as database, product.channel() as channel:
            assert await rebuild(database, channel) == Rebuilt(seen=1, changed=1)
            assert await rebuild(database, channel) == Rebuilt(seen=1, changed=0)
        assert (await inventory.ask("GET", at_tea))[0].status == 200


@pytest.mark.races
async def test_the_last_piece_is_promised_once(service: RunningService) -> None:
    await service.ask("PUT", AT_TEA, {"on_hand": 1})
    one_tea = [pb.ReservationItem(product_id=TEA, quantity=1)]
    async with service.channel("order") as channel:
        reserve = InventoryServiceStub(channel.raw).Reserve
        requests = [pb.ReserveRequest(reservation_id=str(UUID(int=n)), items=one_tea) for n in range(50)]
        answers = await asyncio.gather(*(channel.call(reserve, each, seconds=30) for each in requests))
    outcomes = sorted(each.outcome for each in answers)
    assert outcomes == [pb.RESERVE_OUTCOME_RESERVED] + 49 * [pb.RESERVE_OUTCOME_OUT_OF_STOCK]


async def test_without_its_database_it_runs_and_says_so(tmp_path: Path) -> None:
    nowhere = Secret("postgresql://inventory:hunter2@127.0.0.1:1/inventory")
    async with running(NAME, main, nowhere, tmp_path) as service:
        said = await service.until_ready(503)
        assert "refused" in said["failures"]["database"]
        assert "hunter2" not in json.dumps(said)
        refused, problem = await service.ask("GET", AT_TEA)
        assert (refused.status, problem["status"]) == (503, 503)
        async with service.channel("order") as channel:
            with pytest.raises(Unavailable):
                await channel.call(InventoryServiceStub(channel.raw).Reserve, THREE_TEAS)
