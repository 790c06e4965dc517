"""The inventory's two faces: HTTP over requests and responses, gRPC over messages; no sockets."""

from typing import Any
from uuid import UUID

import pytest
from shop.inventory.v1 import inventory_pb2 as pb

from services.inventory.handler import InventoryCalls, inventory_routes
from services.inventory.service import InventoryService
from shared.context import ANONYMOUS, Principal
from shared.errors import Conflict, Invalid
from tests.services.asking import ADMIN, CUSTOMER, Asking, bad_fields, header, problem_code, read
from tests.services.inventory.conftest import LIFETIME
from tests.services.inventory.memory_repository import MemoryInventoryRepository

TEA, MILK, UNKNOWN = (str(UUID(int=number)) for number in (1, 2, 404))
ORDER, OTHER = (str(UUID(int=number)) for number in (1001, 1002))
AT_TEA = f"/inventory/{TEA}"


@pytest.fixture
def inventory(memory: MemoryInventoryRepository) -> InventoryService:
    return InventoryService(memory, LIFETIME)


@pytest.fixture
def warehouse(inventory: InventoryService) -> Asking:
    return Asking(inventory_routes(inventory))


@pytest.fixture
async def calls(inventory: InventoryService) -> InventoryCalls:
    await inventory.count(UUID(TEA), 10, UUID(ADMIN.user_id))
    return InventoryCalls(inventory)


def reserve(*items: tuple[str, int], reservation_id: str = ORDER) -> pb.ReserveRequest:
    named = [pb.ReservationItem(product_id=product_id, quantity=quantity) for product_id, quantity in items]
    return pb.ReserveRequest(reservation_id=reservation_id, items=named)


# HTTP


async def test_what_was_put_is_got(warehouse: Asking) -> None:
    put = await warehouse.ask("PUT", AT_TEA, {"on_hand": 10})
    assert (put.status, header(put, "etag")) == (200, '"1"')
    assert read(put) == {"product_id": TEA, "on_hand": 10, "reserved": 0, "available": 10}
    got = await warehouse.ask("GET", AT_TEA, by=ANONYMOUS)
    assert (got.status, read(got), header(got, "etag")) == (200, read(put), '"1"')


async def test_what_is_set_aside_is_told(warehouse: Asking, calls: InventoryCalls) -> None:
    await calls.Reserve(reserve((TEA, 3)), None)
    got = await warehouse.ask("GET", AT_TEA)
    assert read(got) == {"product_id": TEA, "on_hand": 10, "reserved": 3, "available": 7}
    assert header(got, "etag") == '"2"'


@pytest.mark.parametrize(("if_none_match", "status"), [('"1"', 304), ("*", 304), ('"2"', 200), ("1", 200)])
async def test_a_client_that_knows_is_told_so(warehouse: Asking, if_none_match: str, status: int) -> None:
    await warehouse.ask("PUT", AT_TEA, {"on_hand": 10})
    response = await warehouse.ask("GET", AT_TEA, if_none_match=if_none_match)
    assert (response.status, header(response, "etag")) == (status, '"1"')
    assert (response.body == b"") is (status == 304)


async def test_products_without_stock_are_not_found(warehouse: Asking) -> None:
    assert (await warehouse.ask("GET", f"/inventory/{UNKNOWN}")).status == 404


@pytest.mark.parametrize("method", ["GET", "PUT"])
@pytest.mark.parametrize("text", ["7", "x" * 36, "%00", "..%2F", f"{{{UNKNOWN}}}"])
async def test_what_is_no_identifier_is_not_found(warehouse: Asking, method: str, text: str) -> None:
    assert (await warehouse.ask(method, f"/inventory/{text}", {"on_hand": 1})).status == 404


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, ["on_hand"]),
        ([], ["(body)"]),
        ({"on_hand": -1}, ["on_hand"]),
        ({"on_hand": 2**53}, ["on_hand"]),
        ({"on_hand": 10**40}, ["on_hand"]),
        ({"on_hand": 1.5}, ["on_hand"]),
        ({"on_hand": "1"}, ["on_hand"]),
        ({"on_hand": True}, ["on_hand"]),
        ({"on_hand": None}, ["on_hand"]),
        ({"on_hand": -1, "reserved": 0}, ["on_hand", "reserved"]),
    ],
)
async def test_every_bad_field_is_named(warehouse: Asking, document: Any, fields: list[str]) -> None:
    assert bad_fields(await warehouse.ask("PUT", AT_TEA, document)) == fields


@pytest.mark.parametrize("on_hand", [0, 2**53 - 1])
async def test_from_nothing_to_very_much(warehouse: Asking, on_hand: int) -> None:
    assert read(await warehouse.ask("PUT", AT_TEA, {"on_hand": on_hand}))["on_hand"] == on_hand


@pytest.mark.parametrize(("by", "status"), [(ANONYMOUS, 401), (CUSTOMER, 403)])
async def test_only_admins_count(warehouse: Asking, by: Principal, status: int) -> None:
    assert (await warehouse.ask("PUT", AT_TEA, {"on_hand": 10}, by=by)).status == status
    assert (await warehouse.ask("GET", AT_TEA)).status == 404


async def test_an_admin_without_a_name_is_none(warehouse: Asking) -> None:
    nameless = Principal(user_id="robot", roles=frozenset({"admin"}))
    assert (await warehouse.ask("PUT", AT_TEA, {"on_hand": 10}, by=nameless)).status == 401


async def test_the_books_name_the_admin(warehouse: Asking, memory: MemoryInventoryRepository) -> None:
    await warehouse.ask("PUT", AT_TEA, {"on_hand": 10})
    assert [(each.difference, each.by) for each in memory.movements] == [(10, UUID(ADMIN.user_id))]


async def test_below_what_is_set_aside_is_a_conflict(warehouse: Asking, calls: InventoryCalls) -> None:
    await calls.Reserve(reserve((TEA, 3)), None)
    refused = await warehouse.ask("PUT", AT_TEA, {"on_hand": 2})
    assert (refused.status, problem_code(refused)) == (409, "below-reserved")


@pytest.mark.parametrize(
    ("if_match", "status"), [('"1"', 200), ("*", 200), ('"2"', 412), ('W/"1"', 412), ("1", 400)]
)
async def test_a_count_may_be_for_one_version_only(warehouse: Asking, if_match: str, status: int) -> None:
    await warehouse.ask("PUT", AT_TEA, {"on_hand": 10})
    assert (await warehouse.ask("PUT", AT_TEA, {"on_hand": 11}, if_match=if_match)).status == status


@pytest.mark.parametrize("if_match", ['"1"', '"0"', "*"])
async def test_where_there_is_no_stock_there_is_no_version(warehouse: Asking, if_match: str) -> None:
    assert (await warehouse.ask("PUT", AT_TEA, {"on_hand": 11}, if_match=if_match)).status == 412
    assert (await warehouse.ask("GET", AT_TEA)).status == 404


# gRPC


async def test_the_stock_of_several_products(calls: InventoryCalls) -> None:
    await calls.Reserve(reserve((TEA, 3)), None)
    answer = await calls.GetStock(pb.GetStockRequest(product_ids=[UNKNOWN, TEA, TEA]), None)
    stock = pb.Stock(product_id=TEA, on_hand=10, reserved=3, available=7, version=2)
    assert answer == pb.GetStockResponse(stock=[stock])


async def test_a_reservation_from_reserve_to_commit(
    calls: InventoryCalls, memory: MemoryInventoryRepository
) -> None:
    answer = await calls.Reserve(reserve((TEA, 3)), None)
    assert answer.outcome == pb.RESERVE_OUTCOME_RESERVED
    assert answer.expires_at.ToDatetime(memory.time.tzinfo) == memory.time + LIFETIME
    assert not answer.short_product_ids
    committed = await calls.Commit(pb.CommitRequest(reservation_id=ORDER), None)
    assert committed == pb.CommitResponse(outcome=pb.COMMIT_OUTCOME_COMMITTED)
    released = await calls.Release(pb.ReleaseRequest(reservation_id=ORDER), None)
    assert released == pb.ReleaseResponse(outcome=pb.RELEASE_OUTCOME_ALREADY_COMMITTED)
    assert await calls.Reserve(reserve((TEA, 3)), None) == answer


async def test_what_is_short_is_named(calls: InventoryCalls) -> None:
    answer = await calls.Reserve(reserve((TEA, 10), (MILK, 1)), None)
    assert answer == pb.ReserveResponse(outcome=pb.RESERVE_OUTCOME_OUT_OF_STOCK, short_product_ids=[MILK])
    committed = await calls.Commit(pb.CommitRequest(reservation_id=ORDER), None)
    assert committed.outcome == pb.COMMIT_OUTCOME_NOT_RESERVED


async def test_what_was_cancelled_in_advance(calls: InventoryCalls) -> None:
    released = await calls.Release(pb.ReleaseRequest(reservation_id=ORDER), None)
    assert released.outcome == pb.RELEASE_OUTCOME_RELEASED
    answer = await calls.Reserve(reserve((TEA, 3)), None)
    assert answer == pb.ReserveResponse(outcome=pb.RESERVE_OUTCOME_ALREADY_CANCELLED)
    committed = await calls.Commit(pb.CommitRequest(reservation_id=ORDER), None)
    assert committed.outcome == pb.COMMIT_OUTCOME_ALREADY_CANCELLED


async def test_what_has_expired(calls: InventoryCalls, memory: MemoryInventoryRepository) -> None:
    await calls.Reserve(reserve((TEA, 3)), None)
    memory.time += LIFETIME
    committed = await calls.Commit(pb.CommitRequest(reservation_id=ORDER), None)
    assert committed.outcome == pb.COMMIT_OUTCOME_RESERVATION_EXPIRED
    answer = await calls.Reserve(reserve((TEA, 3)), None)
    assert answer == pb.ReserveResponse(outcome=pb.RESERVE_OUTCOME_RESERVATION_EXPIRED)


async def test_other_items_are_a_conflict(calls: InventoryCalls) -> None:
    await calls.Reserve(reserve((TEA, 3)), None)
    with pytest.raises(Conflict):
        await calls.Reserve(reserve((TEA, 4)), None)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (reserve((TEA, 1), reservation_id="7"), ["reservation_id"]),
        (reserve(), ["items"]),
        (reserve((TEA, 1), ("tea", 1)), ["items[1].product_id"]),
        (reserve((TEA, 1), (MILK, 0)), ["items[1].quantity"]),
        (reserve((TEA, 1), (TEA, 1)), ["items[1].product_id"]),
        (reserve((TEA, 2**63 - 1)), ["items[0].quantity"]),
        (reserve(*((str(UUID(int=number)), 1) for number in range(101))), ["items"]),
    ],
)
async def test_bad_fields_of_a_reserve_are_named(
    calls: InventoryCalls, request_: pb.ReserveRequest, fields: list[str]
) -> None:
    with pytest.raises(Invalid) as refused:
        await calls.Reserve(request_, None)
    assert [each.field for each in refused.value.fields] == fields


async def test_what_names_no_reservation_is_refused(calls: InventoryCalls) -> None:
    with pytest.raises(Invalid):
        await calls.Release(pb.ReleaseRequest(), None)
    with pytest.raises(Invalid):
        await calls.Commit(pb.CommitRequest(reservation_id=f"{{{OTHER}}}"), None)
    with pytest.raises(Invalid):
        await calls.GetStock(pb.GetStockRequest(product_ids=[TEA] * 101), None)
