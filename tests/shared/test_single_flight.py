import asyncio

import pytest

from shared.single_flight import SingleFlight
from shared.tasks import background
from tests.waiting import eventually


class Work:
    """Counts its runs; none overlaps another. A run goes on when the gate opens."""

    def __init__(self) -> None:
        self.runs = 0
        self.is_running = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None

    async def __call__(self) -> None:
        assert not self.is_running
        self.runs, self.is_running = self.runs + 1, True
        await self.gate.wait()
        self.is_running = False
        if self.failure is not None:
            raise self.failure


async def test_one_run_serves_all_who_asked_before_it_began() -> None:
    work = Work()
    flight = SingleFlight(work, "test")
    await asyncio.gather(*(flight() for _ in range(10)))
    assert work.runs == 1
    await flight()
    assert work.runs == 2


async def test_who_comes_while_it_runs_gets_the_next_run() -> None:
    """The one that runs may have looked already at what the newcomer wants to know."""
    work = Work()
    flight = SingleFlight(work, "test")
    work.gate.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(flight())
        await eventually(lambda: work.is_running)
        late = [group.create_task(flight()) for _ in range(5)]
        await asyncio.sleep(0)
        work.gate.set()
    assert work.runs == 2
    assert all(task.done() for task in late)


async def test_all_hear_of_a_failure_and_the_next_run_is_a_new_chance() -> None:
    work = Work()
    flight = SingleFlight(work, "test")
    work.failure = ZeroDivisionError()
    outcomes = await asyncio.gather(*(flight() for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 3
    work.failure = None
    await flight()
    assert work.runs == 2


async def test_who_gives_up_takes_nobody_along() -> None:
    work = Work()
    flight = SingleFlight(work, "test")
    work.gate.clear()
    async with background(flight(), "first"):
        await eventually(lambda: work.is_running)
        async with background(flight(), "second"):
            third = asyncio.ensure_future(flight())
            await asyncio.sleep(0)
    work.gate.set()
    await third
    assert work.runs == 2


async def test_the_next_run_waits_for_one_that_nobody_waits_for_any_more() -> None:
    work = Work()
    flight = SingleFlight(work, "test")
    work.gate.clear()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(flight(), 0.01)
    assert work.is_running
    work.gate.set()
    await flight()
    assert work.runs == 2
