"""What the contract suite (tests/contracts) does not ask, because it is about Redis alone."""

import asyncio
import logging
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from shared.config import Secret
from shared.errors import Unavailable
from shared.events import redis_link, redis_publisher, redis_topics
from shared.events.bus import Heard, Message
from shared.events.ownership import Work
from shared.events.redis_link import linked
from shared.events.redis_streams import RedisStreamsBus
from shared.events.redis_topics import stream_for, streams_of
from tests.contracts.members import Seen, in_order, listener, member, numbered, publish
from tests.contracts.worlds import fresh
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

KEY = ("key",)
PATIENCE_SECONDS = 30.0


class All:
    """An ownership that gives everything to everybody, as if none of them knew of the others."""

    async def share(self, name: str, partitions: Sequence[str], work: Work) -> None:
        """As Ownership says, but for the sharing."""
        async with asyncio.TaskGroup() as tasks:
            for partition in partitions:
                tasks.create_task(_run(work, partition))


async def _run(work: Work, partition: str) -> None:
    await work(partition)


@pytest.fixture(scope="module")
def durable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A Valkey with an append-only file."""
    server = Valkey(tmp_path_factory.mktemp("durable"), durable=True)
    server.start()
    yield server
    server.close()


@pytest.fixture
def topic() -> str:
    return fresh("topic")


@pytest.fixture
def stream(topic: str) -> str:
    """Where everything goes that has the one key."""
    return stream_for(Message(topic, KEY[0], b""))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that says nothing for a moment is away."""
    monkeypatch.setattr(redis_link, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(redis_topics, "BLOCK_SECONDS", 0.2)


def bus_of(server: Valkey) -> RedisStreamsBus:
    return RedisStreamsBus(server.url, All())


def length(server: Valkey, stream: str) -> int:
    client: Any = server.client
    return int(client.xlen(stream))


# Sending


async def test_a_link_that_was_lost_stays_lost(valkey: Valkey) -> None:
    async with linked(valkey.url) as link:
        assert await link.call("PING") == b"PONG"
        valkey.kill()
        valkey.start()
        for _ in range(2):
            with pytest.raises(Unavailable):
                await link.call("PING")


async def test_out_of_memory_nothing_is_sent_and_the_publisher_is_done(valkey: Valkey, topic: str) -> None:
    bus, many = bus_of(valkey), [Message(topic, "other", bytes(2_000))] * 1_000
    async with bus.publisher([topic]) as publisher:
        await publisher.send(numbered(topic, [1], KEY))
        valkey.client.config_set("maxmemory", valkey.client.info("memory")["used_memory"] + 500_000)
        with pytest.raises(Unavailable, match=r"refuses.*memory"):
            await publisher.send([*numbered(topic, [2], KEY), *many])
        valkey.client.config_set("maxmemory", 0)
        with pytest.raises(Unavailable, match="failed before"):
            await publisher.send(numbered(topic, [2], KEY))
    await publish(bus, numbered(topic, [2], KEY))
    assert [message.value async for message in bus.history(topic)] == [b"1", b"2"]


async def test_a_server_that_was_restarted_unnoticed_confirms_nothing(durable: Valkey, topic: str) -> None:
    async with bus_of(durable).publisher([topic]) as publisher:
        await publisher.send(numbered(topic, [1]))
        durable.kill()
        durable.start()
        with pytest.raises(Unavailable):
            await publisher.confirm()


async def test_what_is_sent_does_not_wait_for_what_is_being_confirmed(durable: Valkey, topic: str) -> None:
    async with bus_of(durable).publisher([topic]) as publisher:
        await publisher.send(numbered(topic, [1]))
        await publisher.confirm()  # the next write to disk is a second away
        confirming = asyncio.create_task(publisher.confirm())
        sent = 0
        while not confirming.done():
            await publisher.send(numbered(topic, [2]))
            sent += 1
        await confirming
    assert sent > 1


async def test_a_server_without_a_file_is_believed_with_one_warning(
    valkey: Valkey, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = bus_of(valkey)
    for number in range(2):
        await publish(bus, numbered(topic, [number]))
    (warning,) = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert "may be lost" in warning.getMessage()


async def test_a_disk_that_writes_nothing_is_no_confirmation(
    durable: Valkey, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publisher, "DISK_SECONDS", 0.1)
    durable.client.config_set("appendfsync", "no")
    try:
        with pytest.raises(Unavailable, match="nothing to disk"):
            await publish(bus_of(durable), numbered(topic, [1]))
    finally:
        durable.client.config_set("appendfsync", "everysec")


# Trimming


async def _tidy(server: Valkey, topic: str) -> None:
    async with bus_of(server).publisher([topic]) as publisher:
        await publisher.tidy()


async def test_what_every_group_has_handled_is_dropped(
    valkey: Valkey, topic: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bus = bus_of(valkey)
    await publish(bus, numbered(topic, range(400), KEY))
    for group in ("one", "other"):
        async with member(bus, group, topic) as seen:
            await seen.until(range(400))
            await _until_done(bus, group, topic)
    await _tidy(valkey, topic)
    assert length(valkey, stream) == 400  # it is young
    monkeypatch.setattr(redis_publisher, "KEPT_SECONDS", -1.0)
    await _tidy(valkey, topic)
    assert 1 <= length(valkey, stream) <= 200  # the server drops by the hundred
    assert await bus.lag("one", [topic]) == {topic: 0}
    await publish(bus, numbered(topic, [400], KEY))
    assert await bus.lag("one", [topic]) == {topic: 1}


async def test_what_one_group_has_not_handled_is_kept(
    valkey: Valkey, topic: str, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_publisher, "KEPT_SECONDS", -1.0)
    bus, stuck = bus_of(valkey), asyncio.Event()

    async def stop_at_250(message: Message) -> None:
        if message.value == b"250":
            stuck.set()
            await asyncio.Event().wait()

    await publish(bus, numbered(topic, range(400), KEY))
    async with member(bus, "quick", topic) as seen, member(bus, "slow", topic, Seen(stop_at_250)):
        await seen.until(range(400))
        await asyncio.wait_for(stuck.wait(), PATIENCE_SECONDS)
        await _tidy(valkey, topic)
    left = [int(message.value) async for message in bus.history(topic)]
    assert left == list(range(left[0], 400))
    assert 100 <= left[0] <= 250
    assert await bus.lag("slow", [topic]) == {topic: 150}


async def _until_done(bus: RedisStreamsBus, group: str, topic: str) -> None:
    async def is_done() -> bool:
        return await bus.lag(group, [topic]) == {topic: 0}

    await eventually(is_done, PATIENCE_SECONDS)


# Owners


async def test_a_full_server_is_read_on_so_that_it_can_be_emptied(valkey: Valkey, topic: str) -> None:
    bus = bus_of(valkey)
    await publish(bus, numbered(topic, range(20), KEY))
    async with member(bus, "group", topic) as first:
        await first.until(range(20))
        await _until_done(bus, "group", topic)
    await publish(bus, numbered(topic, range(20, 40), KEY))
    valkey.client.config_set("maxmemory", 1)
    async with member(bus, "group", topic) as second:
        await second.until(range(20, 40))
        await _until_done(bus, "group", topic)


async def test_two_owners_at_once_keep_the_order_and_lose_nothing(valkey: Valkey, topic: str) -> None:
    """One is frozen with a hundred messages in its hands, is replaced, and comes back later."""
    bus, both, is_frozen, thaws = bus_of(valkey), Seen(), asyncio.Event(), asyncio.Event()

    async def freeze_at_5(message: Message) -> None:
        if message.value == b"5":
            is_frozen.set()
            await thaws.wait()
        await both.handle(message)

    async def busy(message: Message) -> None:
        await asyncio.sleep(0)
        await both.handle(message)

    await publish(bus, numbered(topic, range(300), KEY))
    async with member(bus, "group", topic, Seen(freeze_at_5)):
        await asyncio.wait_for(is_frozen.wait(), PATIENCE_SECONDS)
        async with member(bus, "group", topic, Seen(busy)) as second:
            await second.until(range(5, 200))
            thaws.set()
            await publish(bus, numbered(topic, range(300, 600), KEY))
            await both.until(range(600))
    async with member(bus, "group", topic, both):
        await _until_done(bus, "group", topic)
    assert both.first_times() == in_order(range(600), KEY)


@pytest.mark.usefixtures("impatient")
async def test_a_wiped_store_is_read_from_its_beginning(
    valkey: Valkey, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    bus = bus_of(valkey)
    async with member(bus, "group", topic) as seen:
        await publish(bus, numbered(topic, range(20)))
        await seen.until(range(20))
        valkey.client.flushall()
        await publish(bus, numbered(topic, range(20, 40)))
        await seen.until(range(40))
        await eventually(lambda: _has_groups(valkey, topic), PATIENCE_SECONDS)  # where nothing comes as well
        await _until_done(bus, "group", topic)
    assert seen.first_times() == in_order(range(40))
    assert len([record for record in caplog.records if "oldest event again" in record.getMessage()]) == 1


def _has_groups(server: Valkey, topic: str) -> bool:
    client: Any = server.client
    return all(client.exists(stream) and client.xinfo_groups(stream) for stream in streams_of(topic))


async def test_a_bookmark_that_was_moved_by_hand_is_measured_and_followed(
    valkey: Valkey, topic: str, stream: str
) -> None:
    bus = bus_of(valkey)
    await publish(bus, numbered(topic, range(10), KEY))
    async with member(bus, "group", topic) as seen:
        await seen.until(range(10))
        await _until_done(bus, "group", topic)
    client: Any = valkey.client
    (fourth, _), *_ = client.xrange(stream, count=4)[3:]
    client.xgroup_setid(stream, "group", fourth)
    assert await bus.lag("group", [topic]) == {topic: 6}
    async with member(bus, "group", topic) as again:
        await again.until(range(4, 10))
        await _until_done(bus, "group", topic)
    assert again.numbers() == list(range(4, 10))


async def test_deleted_entries_do_not_count(valkey: Valkey, topic: str, stream: str) -> None:
    bus = bus_of(valkey)
    await publish(bus, numbered(topic, range(10), KEY))
    client: Any = valkey.client
    client.xdel(stream, client.xrange(stream)[5][0])
    assert await bus.lag("group", [topic]) == {topic: 9}
    async with member(bus, "group", topic) as seen:
        await seen.until([0, 1, 2, 3, 4, 6, 7, 8, 9])
        await _until_done(bus, "group", topic)


async def test_a_listener_does_not_wait_for_ids_that_a_wiped_server_will_not_give(
    valkey: Valkey, topic: str, stream: str
) -> None:
    """Its clock is behind the one by which the listener's place was named."""
    bus, heard, fields = bus_of(valkey), Heard(), {"key": KEY[0], "value": "1"}
    client: Any = valkey.client
    async with listener(bus, topic, heard=heard) as before:
        await publish(bus, numbered(topic, [0], KEY))
        await before.until([0])
    client.delete(stream)
    client.xadd(stream, fields, id="1-1")
    async with listener(bus, topic, heard=heard) as after:
        client.xadd(stream, fields | {"value": "2"}, id="1-2")
        await after.until([2])
    assert after.numbers() == [2]


async def test_what_is_no_message_is_handed_over_all_the_same(
    valkey: Valkey, topic: str, stream: str
) -> None:
    """The consumer parks it, where somebody sees it."""
    client: Any = valkey.client
    client.xadd(stream, {"a": "b"})
    (message,) = [message async for message in bus_of(valkey).history(topic)]
    assert (message.topic, message.key, message.value) == (topic, "", b"")
    assert message.place.startswith(f"{stream}/")


# A server that is not as it should be


@pytest.mark.usefixtures("impatient")
async def test_a_frozen_server_is_away(valkey: Valkey, topic: str) -> None:
    bus, seen = bus_of(valkey), Seen()
    async with bus.publisher([topic]) as publisher, bus.publisher([topic]) as other:
        consuming = asyncio.create_task(bus.consume("group", [topic], seen.handle))
        await publish(bus, numbered(topic, [1]))
        await seen.until([1])
        valkey.signal(signal.SIGSTOP)
        try:
            for work in (
                publisher.send(numbered(topic, [1])),
                other.confirm(),
                bus.lag("group", [topic]),
            ):
                with pytest.raises(Unavailable):
                    await asyncio.wait_for(work, PATIENCE_SECONDS)
            with pytest.raises(ExceptionGroup) as failures:
                await asyncio.wait_for(consuming, PATIENCE_SECONDS)
        finally:
            valkey.signal(signal.SIGCONT)
    assert failures.group_contains(Unavailable)


async def test_no_error_shows_the_password(valkey: Valkey, topic: str) -> None:
    wrong = RedisStreamsBus(Secret(valkey.url.value.replace("secret", "not-the-password")), None)
    with pytest.raises(Unavailable, match="another password") as refused:
        await wrong.lag("group", [topic])
    valkey.kill()
    with pytest.raises(Unavailable, match="does not answer") as away:
        await wrong.lag("group", [topic])
    assert "not-the-password" not in refused.value.detail + away.value.detail


async def test_without_an_ownership_nothing_is_consumed(valkey: Valkey, topic: str) -> None:
    with pytest.raises(ValueError, match="ownership"):
        await RedisStreamsBus(valkey.url, None).consume("group", [topic], Seen().handle)
