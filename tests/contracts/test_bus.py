"""The promises of shared/events/bus.py, kept by every transport.

A test sees the bus as several processes would: each call of `world.bus()` is one more of them.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

import pytest

from shared.errors import Unavailable
from shared.events.bus import Bus, Heard, Message
from shared.tasks import background
from tests.contracts.members import (
    KEYS,
    PATIENCE_SECONDS,
    Seen,
    first_times,
    in_order,
    listener,
    member,
    numbered,
    publish,
    publish_surely,
)
from tests.contracts.process import HOLD, member_process
from tests.contracts.worlds import World
from tests.waiting import eventually

AWAY_SECONDS = (
    10.0  # by then everybody knows that the engine is away; a few seconds where the machine is idle
)
PAUSE_SECONDS = 0.005  # between messages of a stream


class Stream:
    """Messages one after the other, for as long as a test needs them; each is confirmed before the next."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self._bus = bus
        self._topic = topic
        self._is_over = False
        self.numbers: list[int] = []

    async def run(self) -> None:
        """Until `end`."""
        while not self._is_over:
            number = len(self.numbers)
            await publish_surely(self._bus, numbered(self._topic, [number]))
            self.numbers.append(number)
            await asyncio.sleep(PAUSE_SECONDS)

    def end(self) -> None:
        """After the message that is on its way."""
        self._is_over = True


@asynccontextmanager
async def stream(world: World) -> AsyncIterator[Stream]:
    """Runs during the block; has ended after it."""
    running = Stream(world.bus(), world.topic)
    async with background(running.run(), "stream") as task:
        yield running
        running.end()
        await task


async def all_handled(bus: Bus, world: World) -> bool:
    """Whether nothing waits for the group any more."""
    return await bus.lag(world.group, [world.topic]) == {world.topic: 0}


# Order, and who gets what


async def test_of_each_key_messages_come_in_the_order_in_which_they_were_sent(world: World) -> None:
    bus = world.bus()
    async with member(world.bus(), world.group, world.topic) as seen:
        async with bus.publisher([world.topic]) as publisher:
            for start in range(0, 200, 20):
                await publisher.send(numbered(world.topic, range(start, start + 20)))
            await publisher.confirm()
        await seen.until(range(200))
    assert seen.first_times() == in_order(range(200))
    assert {message.topic for message in seen.messages} == {world.topic}
    assert all(message.place for message in seen.messages)


async def test_a_message_waits_until_the_one_before_has_been_handled(world: World) -> None:
    at_work: set[str] = set()

    async def one_at_a_time(message: Message) -> None:
        assert message.key not in at_work
        at_work.add(message.key)
        await asyncio.sleep(0)  # whoever would overtake may
        at_work.remove(message.key)

    await publish(world.bus(), numbered(world.topic, range(40), KEYS[:2]))
    async with member(world.bus(), world.group, world.topic, Seen(one_at_a_time)) as seen:
        await seen.until(range(40))


async def test_a_group_that_begins_late_starts_with_the_oldest(world: World) -> None:
    await publish(world.bus(), numbered(world.topic, range(30)))
    async with member(world.bus(), world.group, world.topic) as seen:
        await seen.until(range(30))
    assert seen.first_times() == in_order(range(30))


async def test_every_group_gets_everything(world: World) -> None:
    await publish(world.bus(), numbered(world.topic, range(20)))
    async with (
        member(world.bus(), world.group, world.topic) as one,
        member(world.bus(), f"{world.group}-other", world.topic) as other,
    ):
        await one.until(range(20))
        await other.until(range(20))


async def test_several_topics_are_consumed_at_once(world: World) -> None:
    bus, topics = world.bus(), [world.topic, f"{world.topic}-other"]
    for topic in topics:
        await publish(bus, numbered(topic, range(8)))
    seen = Seen()
    async with background(world.bus().consume(world.group, topics, seen.handle), "member"):
        await eventually(lambda: len(seen.messages) >= 16, PATIENCE_SECONDS)
        assert {message.topic for message in seen.messages} == set(topics)


async def test_members_share_and_each_message_is_handled_once(world: World) -> None:
    one, other = Seen(), Seen()
    async with (
        member(world.bus(), world.group, world.topic, one),
        member(world.bus(), world.group, world.topic, other),
    ):
        async with stream(world) as running:
            await eventually(lambda: one.messages and other.messages, PATIENCE_SECONDS)
        settled = len(running.numbers)
        await eventually(lambda: _came(one, other) >= set(range(settled)), PATIENCE_SECONDS)
        later = range(settled, settled + 100)
        await publish(world.bus(), numbered(world.topic, later))
        await eventually(lambda: _came(one, other) >= set(later), PATIENCE_SECONDS)
    assert sorted(n for n in one.numbers() + other.numbers() if n in later) == list(later)
    assert all(any(n in later for n in seen.numbers()) for seen in (one, other))


def _came(*members: Seen) -> set[int]:
    return {number for seen in members for number in seen.numbers()}


# Members that come and go


async def test_a_member_that_joins_gets_a_share_and_nothing_is_lost(world: World) -> None:
    both: list[Message] = []

    async def note(message: Message) -> None:
        both.append(message)

    async with member(world.bus(), world.group, world.topic, Seen(note)) as old:
        async with stream(world) as running:
            await eventually(lambda: old.messages, PATIENCE_SECONDS)
            async with member(world.bus(), world.group, world.topic, Seen(note)) as new:
                await eventually(lambda: new.messages, PATIENCE_SECONDS)
        await eventually(lambda: _came(old, new) >= set(running.numbers), PATIENCE_SECONDS)
    handled = [(message.key, int(message.value)) for message in both]
    assert first_times(handled) == in_order(running.numbers)


async def test_what_a_member_was_at_when_it_left_is_handled_by_another(world: World) -> None:
    is_at_it = asyncio.Event()

    async def stuck_at_5(message: Message) -> None:
        if message.value == b"5":
            is_at_it.set()
            await asyncio.Event().wait()

    await publish(world.bus(), numbered(world.topic, range(12), KEYS[:1]))
    async with member(world.bus(), world.group, world.topic, Seen(stuck_at_5)) as first:
        await asyncio.wait_for(is_at_it.wait(), PATIENCE_SECONDS)
    async with member(world.bus(), world.group, world.topic) as second:
        await second.until(range(5, 12))
    assert first.numbers() == list(range(5))
    assert second.first_times() == {KEYS[0]: list(range(second.numbers()[0], 12))}


async def test_what_a_killed_process_was_at_is_handled_by_another(server_world: World) -> None:
    world = server_world
    with member_process(world) as process:
        before, after = (
            numbered(world.topic, range(3), KEYS[:1]),
            numbered(world.topic, range(4, 9), KEYS[:1]),
        )
        hold = Message(world.topic, KEYS[0], HOLD)
        await publish(world.bus(), [*before, hold, *after])
        await eventually(lambda: (KEYS[0], int(HOLD)) in process.begun(), PATIENCE_SECONDS)
        begun = process.begun()
        async with member(world.bus(), world.group, world.topic) as heir:
            process.kill()
            await heir.until([int(HOLD), *range(4, 9)])
    assert first_times(begun) == {KEYS[0]: [0, 1, 2, int(HOLD)]}
    expected = [0, 1, 2, int(HOLD), *range(4, 9)]
    assert heir.numbers() == expected[expected.index(heir.numbers()[0]) :]
    assert int(HOLD) in heir.numbers()


async def test_what_handle_raises_ends_the_consumer_and_the_message_comes_again(world: World) -> None:
    async def refuse_3(message: Message) -> None:
        if message.value == b"3":
            raise ValueError("3")

    await publish(world.bus(), numbered(world.topic, range(6), KEYS[:1]))
    bus, seen = world.bus(), Seen(refuse_3)
    for _ in range(2):
        with pytest.raises(ValueError, match="3"):
            await asyncio.wait_for(bus.consume(world.group, [world.topic], seen.handle), PATIENCE_SECONDS)
    async with member(bus, world.group, world.topic) as later:
        await later.until(range(3, 6))
    assert list(dict.fromkeys(seen.numbers())) == [0, 1, 2]
    assert list(dict.fromkeys(later.numbers()))[-3:] == [3, 4, 5]


# Looking on


async def test_every_listener_gets_what_comes_from_now_on(world: World) -> None:
    publishing = world.bus()
    await publish(publishing, numbered(world.topic, range(10)))
    async with listener(world.bus(), world.topic) as one:
        await publish(publishing, numbered(world.topic, range(10, 20)))
        async with listener(world.bus(), world.topic) as other:
            await publish(publishing, numbered(world.topic, range(20, 40)))
            await one.until(range(10, 40))
            await other.until(range(20, 40))
    assert one.first_times() == in_order(range(10, 40))
    assert other.first_times() == in_order(range(20, 40))


async def test_nothing_that_comes_while_a_listener_resumes_is_missed(world: World) -> None:
    publishing, seen, resumes = world.bus(), Seen(), asyncio.Event()

    async def resumed() -> None:
        await publish(publishing, numbered(world.topic, range(10)))
        assert not seen.messages
        resumes.set()

    async with background(world.bus().broadcast([world.topic], seen.handle, resumed), "listener"):
        await asyncio.wait_for(resumes.wait(), PATIENCE_SECONDS)
        await seen.until(range(10))


async def test_a_listener_that_was_cut_off_goes_on_where_it_was(world: World) -> None:
    publishing, heard, is_at_it = world.bus(), Heard(), asyncio.Event()

    async def stuck_at_15(message: Message) -> None:
        if message.value == b"15" and not is_at_it.is_set():
            is_at_it.set()
            await asyncio.Event().wait()

    seen = Seen(stuck_at_15)
    await publish(publishing, numbered(world.topic, range(10)))
    async with listener(world.bus(), world.topic, seen, heard):
        await publish(publishing, numbered(world.topic, range(10, 20)))
        await asyncio.wait_for(is_at_it.wait(), PATIENCE_SECONDS)
    await publish(publishing, numbered(world.topic, range(20, 40)))
    async with listener(world.bus(), world.topic, seen, heard):
        await publish(publishing, numbered(world.topic, range(40, 50)))
        await seen.until(range(10, 50))
    assert sorted(seen.numbers()) == list(range(10, 50))
    assert seen.first_times() == in_order(range(10, 50))


async def test_a_listener_whose_place_is_lost_hears_what_comes(world: World) -> None:
    publishing, heard = world.bus(), Heard()
    async with listener(world.bus(), world.topic, heard=heard) as before:
        await publish(publishing, numbered(world.topic, range(48)))
        await before.until(range(48))
    await world.lose_topic()
    async with listener(world.bus(), world.topic, heard=heard) as after:
        await publish(publishing, numbered(world.topic, range(48, 64)))
        await after.until(range(48, 64))
    assert sorted(after.numbers()) == list(range(48, 64))


async def test_history_is_everything_and_disturbs_no_group(world: World) -> None:
    bus = world.bus()
    await publish(bus, numbered(world.topic, range(50)))
    async with member(world.bus(), world.group, world.topic) as seen:
        await seen.until(range(50))
        await eventually(lambda: all_handled(bus, world), PATIENCE_SECONDS)
    await publish(bus, numbered(world.topic, range(50, 60)))
    assert await _history(bus, world.topic) == in_order(range(60))
    assert await bus.lag(world.group, [world.topic]) == {world.topic: 10}


async def test_history_ends_where_the_topic_ended_when_it_began(world: World) -> None:
    bus = world.bus()
    found: list[int] = []
    await publish(bus, numbered(world.topic, range(10)))
    async for message in bus.history(world.topic):
        if not found:
            await publish(bus, numbered(world.topic, range(10, 20)))
        found.append(int(message.value))
    assert sorted(found) == list(range(10))


async def test_a_topic_that_nobody_has_published_to_has_no_history(world: World) -> None:
    assert await _history(world.bus(), world.topic) == {}


async def _history(bus: Bus, topic: str) -> dict[str, list[int]]:
    return first_times([(each.key, int(each.value)) async for each in bus.history(topic)])


async def test_lag_counts_what_the_group_has_not_handled(world: World) -> None:
    bus, topics = world.bus(), [world.topic, f"{world.topic}-other"]
    assert await bus.lag(world.group, topics) == dict.fromkeys(topics, 0)
    await publish(bus, numbered(world.topic, range(10)))
    assert await bus.lag(world.group, topics) == {topics[0]: 10, topics[1]: 0}
    async with member(bus, world.group, world.topic):
        await eventually(lambda: all_handled(bus, world), PATIENCE_SECONDS)
    await publish(bus, numbered(world.topic, range(10, 15)))
    assert await bus.lag(world.group, topics) == {topics[0]: 5, topics[1]: 0}


# An engine that dies


async def test_an_engine_that_is_away_is_told(world: World) -> None:
    bus, seen = world.bus(), Seen()
    async with bus.publisher([world.topic]) as publisher:
        await publisher.send(numbered(world.topic, range(2)))
        await publisher.confirm()
        listening = asyncio.create_task(_listen(world.bus(), world.topic))
        consuming = asyncio.create_task(world.bus().consume(world.group, [world.topic], seen.handle))
        await seen.until(range(2))
        await world.kill_engine()
        try:
            async with asyncio.TaskGroup() as group:  # each takes its time to tell
                for works in (
                    [publisher.send(numbered(world.topic, [2])), publisher.confirm()],
                    [publish(bus, numbered(world.topic, [2]))],
                    [listening],
                    [consuming],
                    [world.bus().consume(world.group, [world.topic], seen.handle)],
                    [_listen(bus, world.topic)],
                    [_history(bus, world.topic)],
                    [bus.lag(world.group, [world.topic])],
                ):
                    group.create_task(_all_are_told(works))
        finally:
            await world.start_engine()
        with pytest.raises(Unavailable):  # it is good until the first error
            await publisher.send(numbered(world.topic, [2]))
    await publish_surely(bus, numbered(world.topic, [3]))
    async with member(bus, world.group, world.topic, seen):
        await seen.until([3])


async def _all_are_told(works: Sequence[Awaitable[object]]) -> None:
    """Each of them, one after the other, that the engine is away."""
    for work in works:
        with pytest.raises(Unavailable):
            await asyncio.wait_for(work, AWAY_SECONDS)


async def _listen(bus: Bus, topic: str) -> None:
    seen = Seen()

    async def resumed() -> None:
        pass

    await bus.broadcast([topic], seen.handle, resumed)


async def test_what_was_confirmed_is_delivered_however_often_the_engine_dies(world: World) -> None:
    async with (
        member(world.bus(), world.group, world.topic) as seen,
        listener(world.bus(), world.topic) as listening,
    ):
        async with stream(world) as running:
            await _more(running, seen)
            await world.kill_engine()  # in the middle of publishing
            await world.start_engine()
            await _more(running, seen)
        await world.kill_engine()  # in between
        await world.start_engine()
        await publish_surely(world.bus(), numbered(world.topic, _next(running.numbers)))
        everything = [*running.numbers, *_next(running.numbers)]
        await seen.until(everything)
        await listening.until(everything)
    assert seen.first_times() == listening.first_times() == in_order(everything)


def _next(numbers: Sequence[int]) -> list[int]:
    return [len(numbers)]


async def _more(running: Stream, seen: Seen) -> None:
    """Until some more have been confirmed, and one of them handled."""
    before = len(running.numbers)
    await eventually(lambda: len(running.numbers) > before + 2, PATIENCE_SECONDS)
    await seen.until([before])
