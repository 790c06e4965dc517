"""The same order asked for many times at once, of two processes: whatever happens, it is placed once."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from itertools import cycle, repeat
from typing import Any

import pytest

from services.order.handler import order_routes
from services.order.main import MIGRATIONS
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import OrderService
from shared.config import Secret
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.http.messages import Response
from shared.idempotency import IdempotentCalls
from shared.rules import Rule
from tests.services.asking import CUSTOMER, Asking, header, problem_code, read
from tests.services.databases import opened
from tests.services.order.conftest import TEA, orchestrator_in, orders_in
from tests.services.order.fake_catalogue import FakeCatalogue
from tests.services.order.fake_participants import SILENCE, FakeParticipants
from tests.services.order.place import at_work

pytestmark = pytest.mark.races

AT_ONCE = 20


class Replicas:
    """Two processes of one service; requests go to them in turn."""

    def __init__(self, database: Database, served: Iterable[Asking]) -> None:
        self.database = database
        self._next = cycle(served)

    async def order(self, key: str, quantity: int = 1) -> Response:
        document = {"items": [{"product_id": str(TEA.product_id), "quantity": quantity}]}
        return await next(self._next).ask("POST", "/orders", document, by=CUSTOMER, idempotency_key=key)

    async def cancel(self, order_id: str) -> Response:
        return await next(self._next).ask("POST", f"/orders/{order_id}/cancel", by=CUSTOMER)

    async def count(self) -> int:
        async with self.database.connection() as connection:
            row = await (await connection.execute("SELECT count(*) FROM orders")).fetchone()
        assert row is not None
        return int(row[0])


def _served(
    database: Database, orchestrator: Orchestrator, catalogue: FakeCatalogue, rules: Mapping[str, Rule]
) -> Asking:
    orders = OrderService(orders_in(database), catalogue, orchestrator, rules, "KRW")
    return Asking(order_routes(orders, IdempotentCalls(IdempotencyKeys(database)), rules))


@pytest.fixture
async def replicas(
    database_url: Secret, catalogue: FakeCatalogue, participants: FakeParticipants, rules: Mapping[str, Rule]
) -> AsyncIterator[Replicas]:
    """Their orders stay pending, unless they are cancelled: inventory does not answer."""
    participants.will("reserve", SILENCE)
    async with (
        opened(database_url, MIGRATIONS, for_a_race=True) as one,
        opened(database_url, MIGRATIONS, for_a_race=True) as other,
    ):
        orchestrators = [orchestrator_in(each, participants) for each in (one, other)]
        async with at_work(orchestrators[0]), at_work(orchestrators[1]):
            served = map(_served, (one, other), orchestrators, repeat(catalogue), repeat(rules))
            yield Replicas(one, served)


def placed(answers: list[Response]) -> list[Any]:
    """The orders that `answers` tell of; each other answer says that the key is in use."""
    others = [each for each in answers if each.status != 202]
    assert {(each.status, problem_code(each)) for each in others} <= {(409, "idempotency-key-in-use")}
    return [read(each) for each in answers if each.status == 202]


async def test_one_key_places_one_order(replicas: Replicas) -> None:
    orders = placed(await asyncio.gather(*(replicas.order("k") for _ in range(AT_ONCE))))
    assert orders
    assert all(each == orders[0] for each in orders)
    assert await replicas.count() == 1
    again = await asyncio.gather(*(replicas.order("k") for _ in range(AT_ONCE)))
    assert [read(each) for each in again] == [orders[0]] * AT_ONCE
    assert {header(each, "idempotent-replayed") for each in again} == {"true"}
    assert await replicas.count() == 1


async def test_many_keys_place_many_orders(replicas: Replicas) -> None:
    answers = await asyncio.gather(*(replicas.order(f"k{n}") for n in range(AT_ONCE) for _ in range(2)))
    assert len({each["order_id"] for each in placed(answers)}) == AT_ONCE
    assert await replicas.count() == AT_ONCE


async def test_one_key_for_different_contents_is_for_the_first_of_them(replicas: Replicas) -> None:
    answers = await asyncio.gather(*(replicas.order("k", quantity) for quantity in range(1, AT_ONCE + 1)))
    (order,) = (read(each) for each in answers if each.status == 202)
    refusals = {problem_code(each) for each in answers if each.status != 202}
    assert refusals == {"idempotency-key-reused"}
    assert await replicas.count() == 1
    assert read(await replicas.order("k", order["items"][0]["quantity"])) == order


async def test_whoever_places_and_cancels_at_once_ends_with_one_cancelled_order(replicas: Replicas) -> None:
    order = read(await replicas.order("k"))
    answers = await asyncio.gather(
        *(replicas.cancel(order["order_id"]) for _ in range(AT_ONCE)),
        *(replicas.order("k") for _ in range(AT_ONCE)),
    )
    cancels, again = answers[:AT_ONCE], answers[AT_ONCE:]
    cancelled = order | {"status": "CANCELLED", "reason": "requested"}
    assert all((each.status, read(each)) in ((200, order), (200, cancelled)) for each in cancels)
    assert all((each.status, read(each)) in ((202, order), (201, cancelled)) for each in again)
    assert read(await replicas.cancel(order["order_id"])) == cancelled
    assert await replicas.count() == 1
