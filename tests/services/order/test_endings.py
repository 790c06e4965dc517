"""Who waits for the end of an order, for how long."""

import asyncio
from uuid import UUID

import pytest

from services.order.domain.orders import Order
from services.order.service import orchestrator
from shared.errors import NotFound
from tests.services.order.memory_repository import (
    Memory,
    MemoryArticleRepository,
    MemoryOrderRepository,
    MemorySagaRepository,
)
from tests.services.order.place import CONFIRMED, LEASE_SECONDS, PENDING, SHORT, WAIT_SECONDS, Place, at_work

pytestmark = pytest.mark.usefixtures("unhurried")


async def test_what_is_final_is_told_at_once(place: Place) -> None:
    order = await place.end(await place.placed())
    assert await place.orchestrator().wait(order.order_id, 0.0) == order


async def test_who_waits_no_longer_gets_the_order_as_it_is(place: Place) -> None:
    order = await place.placed()
    assert await place.orchestrator().wait(order.order_id, SHORT) == order
    assert await place.orchestrator().wait(order.order_id, -1.0) == order


async def test_whoever_waits_is_told_of_the_end_by_whoever_brings_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, without another look."""
    monkeypatch.setattr(orchestrator, "FIRST_LOOK_SECONDS", 2 * WAIT_SECONDS)
    order, ours = await place.placed(), place.orchestrator()
    async with at_work(ours), asyncio.timeout(WAIT_SECONDS):
        ended = await ours.wait(order.order_id, 2 * WAIT_SECONDS)
    assert ended.status is CONFIRMED


async def test_who_is_leaving_keeps_nobody_waiting(place: Place) -> None:
    order = await place.placed()
    leaving = place.orchestrator(is_leaving=lambda: True)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await leaving.wait(order.order_id, 2 * WAIT_SECONDS) == order


async def test_for_what_there_is_not_nobody_waits(place: Place) -> None:
    with pytest.raises(NotFound):
        await place.orchestrator().wait(UUID(int=9), LEASE_SECONDS)


async def test_when_too_many_wait_the_next_is_answered_at_once_and_the_others_wait_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(orchestrator, "MOST_WAITING", 2)
    order, ours = await place.placed(), place.orchestrator()
    waiting = [asyncio.create_task(ours.wait(order.order_id, 2 * WAIT_SECONDS)) for _ in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await ours.wait(order.order_id, 2 * WAIT_SECONDS) == order
        async with at_work(ours):
            assert [each.status for each in await asyncio.gather(*waiting)] == [CONFIRMED] * 2


class Counting(MemoryOrderRepository):
    """How often somebody looks."""

    looks = 0

    async def get(self, order_id: UUID) -> Order | None:
        self.looks += 1
        return await super().get(order_id)


async def test_who_waits_looks_less_and_less_often() -> None:
    orders = Counting(Memory(), MemoryArticleRepository())
    place = Place(orders, MemorySagaRepository(orders))
    order = await place.placed()
    assert (await place.orchestrator().wait(order.order_id, 0.3)).status is PENDING
    assert 1 <= orders.looks <= 6  # after 0.01, 0.03, 0.07, 0.15, 0.3 s
