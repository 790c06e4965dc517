"""One suite for both repositories of sagas: who may work at one, and what its log says."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID

import pytest

from services.order.domain.fulfilment import Claim, Overview, Run, SagaRepository
from services.order.domain.orders import Order, OrderItem, OrderPlaced, OrderRepository
from shared import context
from shared.observability.tracing import begin_span
from shared.saga import Entry, Outcome
from tests.services.order.conftest import NOON, TEA

PLACED = Entry("place_order", Outcome.DONE)
RESERVED = Entry("reserve_stock", Outcome.DONE)
CHARGED = Entry("charge_wallet", Outcome.DONE)
RELEASED = Entry("release_stock", Outcome.DONE)
REQUESTED = Entry("reserve_stock", Outcome.ABANDONED, "requested")
LONG = 60.0  # seconds: nobody's claim runs out meanwhile
AT_ONCE = 0.0  # a claim that runs out when it is made


def an_order(number: int) -> Order:
    items = (OrderItem(TEA.product_id, "Tea", 1, TEA.price),)
    return Order(UUID(int=number), UUID(int=0xA), items, TEA.price, NOON)


async def begin(repository: OrderRepository, sagas: SagaRepository, number: int) -> UUID:
    """The saga of a new order."""
    order = an_order(number)
    async with sagas.unit_of_work():
        await repository.record(OrderPlaced(order))
        await sagas.begin(order, [PLACED], 0.0)
    return order.order_id


Begin = Callable[[int], Awaitable[UUID]]


@pytest.fixture
def begun(repository: OrderRepository, sagas: SagaRepository) -> Begin:
    return lambda number: begin(repository, sagas, number)


async def claimed(sagas: SagaRepository, seconds: float = LONG) -> Run:
    """The only saga that is due."""
    (claim,) = await sagas.claim_due(10, seconds)
    run = await sagas.load(claim)
    assert run is not None
    return run


async def advance(sagas: SagaRepository, run: Run, entry: Entry, seconds: float | None = LONG) -> bool:
    """Whether the entry has been written."""
    async with sagas.unit_of_work():
        if not await sagas.hold(run):
            return False
        await asyncio.sleep(0)  # whoever else could write would do it now
        await sagas.advance(run, [entry], seconds)
        return True


async def cancel(
    repository: OrderRepository, sagas: SagaRepository, order_id: UUID, entry: Entry = REQUESTED
) -> None:
    """As the owner's wish does."""
    async with repository.unit_of_work():
        await repository.hold(order_id)
        await sagas.turn_back(order_id, await sagas.log_of(order_id), entry)


# Claims


async def test_what_has_begun_is_due_for_one(sagas: SagaRepository, begun: Begin) -> None:
    context.trace.set(begin_span(None))
    order_id = await begun(1)
    run = await claimed(sagas)
    trace = context.trace.get()
    assert trace is not None
    assert run == Run(Claim(order_id, 1), an_order(1), (PLACED,), trace.traceparent, 0, run.seconds)
    assert 0.0 <= run.seconds < LONG
    assert await sagas.claim_due(10, LONG) == []


async def test_those_that_have_waited_longest_come_first(sagas: SagaRepository, begun: Begin) -> None:
    for number in (3, 1, 2):
        await begun(number)
    first = await sagas.claim_due(2, LONG)
    assert {claim.order_id.int for claim in first} == {3, 1}
    assert await sagas.claim_due(2, LONG) == [Claim(UUID(int=2), 1)]


async def test_a_claim_that_has_run_out_is_anothers(sagas: SagaRepository, begun: Begin) -> None:
    await begun(1)
    late, other = await claimed(sagas, AT_ONCE), await claimed(sagas)
    assert other == replace(late, claim=Claim(late.claim.order_id, 2), seconds=other.seconds)
    assert await sagas.load(late.claim) is None
    assert not await advance(sagas, late, RESERVED)
    await sagas.postpone(late.claim, AT_ONCE, "late")
    await sagas.give_back([late.claim])
    assert await sagas.claim_due(10, LONG) == []
    assert await advance(sagas, other, RESERVED)


async def test_a_claim_that_has_run_out_is_good_until_another_is_made(
    sagas: SagaRepository, begun: Begin
) -> None:
    await begun(1)
    run = await claimed(sagas, AT_ONCE)
    assert await advance(sagas, run, RESERVED)
    assert await sagas.claim_due(10, LONG) == []


async def test_what_is_given_back_is_anybodys(sagas: SagaRepository, begun: Begin) -> None:
    await begun(1)
    await begun(2)
    claims = await sagas.claim_due(10, LONG)
    await sagas.give_back(claims)
    again = await sagas.claim_due(10, LONG)
    assert {(each.order_id.int, each.epoch) for each in again} == {(1, 2), (2, 2)}
    await sagas.give_back([])
    assert await sagas.claim_due(10, LONG) == []


# Logs


async def test_each_entry_is_written_once(sagas: SagaRepository, begun: Begin) -> None:
    order_id = await begun(1)
    run = await claimed(sagas)
    assert await advance(sagas, run, RESERVED)
    assert not await advance(sagas, run, RESERVED)
    next_run = run.advanced(run.order, [RESERVED])
    loaded = await sagas.load(run.claim)
    assert loaded is not None
    assert replace(loaded, seconds=0.0) == next_run
    assert await advance(sagas, next_run, CHARGED, AT_ONCE)
    assert await sagas.log_of(order_id) == (PLACED, RESERVED, CHARGED)
    assert (await claimed(sagas)).log == (PLACED, RESERVED, CHARGED)
    assert await sagas.log_of(UUID(int=9)) == ()


async def test_what_has_ended_is_never_due_again(sagas: SagaRepository, begun: Begin) -> None:
    order_id = await begun(1)
    run = await claimed(sagas)
    assert await advance(sagas, run, Entry("reserve_stock", Outcome.REFUSED, "out_of_stock"), None)
    assert await sagas.load(run.claim) is None
    await sagas.give_back([run.claim])
    await sagas.postpone(run.claim, AT_ONCE, "late")
    assert not await sagas.hurry(order_id)
    assert await sagas.claim_due(10, LONG) == []
    assert await sagas.overview(0.0) == Overview(0, 0, 0.0)


async def test_what_is_put_off_is_due_later_and_counted(sagas: SagaRepository, begun: Begin) -> None:
    order_id = await begun(1)
    await sagas.postpone((await claimed(sagas)).claim, AT_ONCE, "silence")
    again = await claimed(sagas)
    assert (again.attempts, again.log) == (1, (PLACED,))
    await sagas.postpone(again.claim, LONG, "silence")
    assert await sagas.claim_due(10, LONG) == []
    assert await sagas.hurry(order_id)
    third = await claimed(sagas)
    assert third.attempts == 2
    assert await advance(sagas, third, RESERVED, AT_ONCE)
    assert (await claimed(sagas)).attempts == 0


async def test_an_owners_wish_overtakes_whoever_works(
    repository: OrderRepository, sagas: SagaRepository, begun: Begin
) -> None:
    order_id = await begun(1)
    run = await claimed(sagas)
    await cancel(repository, sagas, order_id)
    assert not await advance(sagas, run, RESERVED)
    await sagas.postpone(run.claim, LONG, "late")
    assert await sagas.load(run.claim) is None
    late = replace(run, log=(PLACED, REQUESTED))
    assert not await advance(sagas, late, RELEASED)  # though its log is the right one
    turned = await claimed(sagas)  # due at once, for anybody
    assert turned.log == (PLACED, REQUESTED)
    assert await advance(sagas, turned, RELEASED)


# All or nothing


async def test_what_fails_has_not_begun(
    repository: OrderRepository, sagas: SagaRepository, begun: Begin
) -> None:
    told = list[int]()

    async def begin_and_fail() -> None:
        async with sagas.unit_of_work():
            await begin(repository, sagas, 1)
            sagas.after_commit(lambda: told.append(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await begin_and_fail()
    assert await sagas.claim_due(10, LONG) == []
    assert await sagas.log_of(UUID(int=1)) == ()
    async with sagas.unit_of_work():
        await begun(2)
        sagas.after_commit(lambda: told.append(2))
        assert told == []
    assert told == [2]
    sagas.after_commit(lambda: told.append(3))
    assert told == [2, 3]


async def test_an_overview_counts_what_runs(sagas: SagaRepository, begun: Begin) -> None:
    assert await sagas.overview(0.0) == Overview(0, 0, 0.0)
    for number in (1, 2):
        await begun(number)
    await sagas.claim_due(1, LONG)
    all_stuck, none_stuck = await sagas.overview(0.0), await sagas.overview(LONG)
    assert (all_stuck.running, all_stuck.stuck) == (2, 2)
    assert (none_stuck.running, none_stuck.stuck) == (2, 0)
    assert 0.0 < none_stuck.oldest_seconds < LONG


@pytest.mark.races
async def test_of_many_who_write_at_once_one_does(sagas: SagaRepository, begun: Begin) -> None:
    order_id = await begun(1)
    run = await claimed(sagas)
    entries = [Entry("reserve_stock", Outcome.REFUSED, f"reason {number}") for number in range(8)]
    written = await asyncio.gather(*(advance(sagas, run, entry) for entry in entries))
    assert await sagas.log_of(order_id) == (PLACED, entries[written.index(True)])
    assert written.count(True) == 1


@pytest.mark.races
async def test_a_worker_and_the_owner_never_both_write_the_same_line(
    repository: OrderRepository, sagas: SagaRepository, begun: Begin
) -> None:
    for number in range(1, 9):
        order_id = await begun(number)
        run = await claimed(sagas)
        has_advanced, _ = await asyncio.gather(
            advance(sagas, run, RESERVED), cancel(repository, sagas, order_id)
        )
        expected = (PLACED, RESERVED, REQUESTED) if has_advanced else (PLACED, REQUESTED)
        assert await sagas.log_of(order_id) == expected
        for claim in await sagas.claim_due(1, LONG):
            assert claim.order_id == order_id
