"""What the contract suite (tests/contracts) does not ask: how the engine in memory dies."""

import pytest

from shared.errors import Unavailable
from shared.events.memory import MemoryBus, MemoryEngine
from tests.contracts.members import Seen, member, numbered
from tests.waiting import eventually


async def _history(bus: MemoryBus) -> list[int]:
    return sorted([int(message.value) async for message in bus.history("topic")])


async def test_a_killed_engine_loses_what_was_not_confirmed() -> None:
    engine = MemoryEngine()
    bus = MemoryBus(engine)
    async with bus.publisher(["topic"]) as publisher:
        await publisher.send(numbered("topic", range(5)))
        await publisher.confirm()
        await publisher.send(numbered("topic", range(5, 10)))
        engine.kill()
        engine.start()
        with pytest.raises(Unavailable):
            await publisher.confirm()
    assert await _history(bus) == list(range(5))


async def test_a_group_that_had_handled_what_was_lost_gets_it_again() -> None:
    engine = MemoryEngine()
    bus = MemoryBus(engine)
    for _ in range(2):
        async with bus.publisher(["topic"]) as publisher, member(bus, "group", "topic") as seen:
            await publisher.send(numbered("topic", range(5)))
            await seen.until(range(5))
            await eventually(lambda: _is_done(bus))
        engine.kill()
        engine.start()
    assert await _history(bus) == []


async def test_what_was_handled_as_the_engine_died_comes_again() -> None:
    engine = MemoryEngine()
    bus = MemoryBus(engine)

    async def die_once(_: object) -> None:
        if engine.life == 0:
            engine.kill()
            engine.start()

    async with bus.publisher(["topic"]) as publisher:
        await publisher.send(numbered("topic", [0]))
        await publisher.confirm()
    async with member(bus, "group", "topic", Seen(die_once)) as seen:
        await eventually(lambda: seen.numbers() == [0, 0])


async def _is_done(bus: MemoryBus) -> bool:
    return await bus.lag("group", ["topic"]) == {"topic": 0}
