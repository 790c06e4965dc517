"""What the contract suite does not ask of Kafka's bus: how it is to its own process, and to Kafka."""

import asyncio
import logging
import statistics
import threading
import time
from collections.abc import AsyncIterator, Iterator, Set
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from scripts.support.free_ports import free_port_base
from shared.config import Secret
from shared.errors import Unavailable
from shared.events import kafka, kafka_consumer, kafka_lanes
from shared.events.bus import PARTITIONS, Heard, Message
from shared.events.kafka import KafkaBus
from shared.tasks import background, cancel
from tests.contracts.members import KEYS, Seen, in_order, listener, member, numbered, publish, publish_surely
from tests.contracts.worlds import fresh
from tests.kafka_broker import KafkaBroker
from tests.waiting import eventually

# A busy machine holds the event loop up now and then; waiting for a frozen broker would do so all the time.
USUAL_SECONDS, LONGEST_SECONDS = 0.1, 2.0
LEAVE_SECONDS = 3.0  # CLOSE_SECONDS, on a busy machine
AWAY_SECONDS = 10.0


@pytest.fixture
def bus(kafka_broker: KafkaBroker) -> KafkaBus:
    return KafkaBus(Secret(kafka_broker.url))


@pytest.fixture
def topic() -> str:
    return fresh("topic")


@pytest.fixture
def group() -> str:
    return fresh("group")


@pytest.fixture
def admin(kafka_broker: KafkaBroker) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=kafka_broker.url.removeprefix("kafka://"))
    yield client
    client.close()


@asynccontextmanager
async def loop_delay() -> AsyncIterator[list[float]]:
    """By how much somebody was woken too late during the block, in seconds."""
    delays = [0.0]

    async def look() -> None:
        while True:
            due = time.monotonic() + 0.01
            await asyncio.sleep(0.01)
            delays.append(time.monotonic() - due)

    async with background(look(), "loop delay"):
        yield delays


def threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name.startswith("kafka")]


async def history(bus: KafkaBus, topic: str) -> list[int]:
    return [int(message.value) async for message in bus.history(topic)]


# Topics


async def test_topics_are_made_as_they_should_be(bus: KafkaBus, topic: str, admin: KafkaAdminClient) -> None:
    await asyncio.gather(*(publish(bus, numbered(topic, [number])) for number in range(3)))
    name = f"plainstack.{topic}"
    (found,) = admin.describe_topics([name])
    assert len(found["partitions"]) == PARTITIONS
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    kept = found["topic"][name]["retention.ms"]["value"]
    assert timedelta(milliseconds=int(kept)) == timedelta(days=7)


# Handling


async def test_a_message_that_waits_holds_up_its_own_partition_only(
    bus: KafkaBus, topic: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_consumer, "STUCK_SECONDS", 1.0)  # whoever does not poll is put out of the group
    begun, release = list[bytes](), asyncio.Event()

    async def wait_for_the_database(message: Message) -> None:
        begun.append(message.value)
        if message.value == b"0":
            await release.wait()

    others = [number for number in range(1, 32) if number % len(KEYS)]
    async with member(bus, group, topic, Seen(wait_for_the_database)) as seen:
        await publish(bus, numbered(topic, range(16)))
        await eventually(lambda: len(seen.messages) > len(KEYS) / 2)
        deadline = time.monotonic() + 1.5 * kafka_consumer.STUCK_SECONDS
        await eventually(lambda: time.monotonic() > deadline)  # nothing shows that nobody is put out
        await publish(bus, numbered(topic, range(16, 32)))
        await eventually(lambda: seen.numbers()[-1] > 16)
        release.set()
        await seen.until([0, *others])
    assert begun.count(b"0") == 1
    assert seen.numbers().count(0) == 1


async def test_partitions_with_enough_in_hand_are_paused_and_go_on_later(
    bus: KafkaBus, topic: str, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused, release = set[TopicPartition](), asyncio.Event()

    class Watched(kafka_lanes.Lanes):
        def full(self) -> Set[TopicPartition]:
            paused.update(full := super().full())
            return full

    async def wait(_: Message) -> None:
        await release.wait()

    monkeypatch.setattr(kafka_lanes, "ENOUGH", 10)
    monkeypatch.setattr(kafka_consumer, "FETCH_BYTES", 1000)
    monkeypatch.setattr(kafka_consumer, "Lanes", Watched)
    async with member(bus, group, topic, Seen(wait)) as seen:
        async with bus.publisher([topic]) as publisher:
            for start in range(0, 480, 20):
                await publisher.send(numbered(topic, range(start, start + 20)))
        await eventually(lambda: paused)
        release.set()
        await seen.until(range(480))
    assert seen.first_times() == in_order(range(480))
    assert len(seen.messages) == 480


async def test_a_message_is_there_at_once(bus: KafkaBus, topic: str, group: str) -> None:
    delays, came = [], asyncio.Event()

    async def note(_: Message) -> None:
        came.set()

    async with member(bus, group, topic, Seen(note)), bus.publisher([topic]) as publisher:
        for number in range(5):
            came.clear()
            sent = time.monotonic()
            await publisher.send(numbered(topic, [number]))
            await came.wait()
            delays.append(time.monotonic() - sent)
    assert min(delays[1:]) < kafka_consumer.POLL_SECONDS / 2


async def test_a_listener_passes_over_what_kafka_has_dropped(
    bus: KafkaBus, topic: str, admin: KafkaAdminClient
) -> None:
    heard = Heard()
    async with listener(bus, topic, heard=heard) as before:
        await publish(bus, numbered(topic, range(5), KEYS[:1]))
        await before.until(range(5))
    await publish(bus, numbered(topic, range(5, 10), KEYS[:1]))
    (partition,) = await _partitions_with(bus, topic)
    admin.delete_records({partition: 7})
    async with listener(bus, topic, heard=heard) as after:
        await after.until(range(7, 10))
    assert after.numbers() == [7, 8, 9]


async def _partitions_with(bus: KafkaBus, topic: str) -> set[TopicPartition]:
    """Those of the topic that have messages."""
    places = {message.place.rpartition("/")[0] async for message in bus.history(topic)}
    return {
        TopicPartition(name, int(number)) for name, _, number in (each.rpartition(":") for each in places)
    }


# Publishing


async def test_what_follows_a_refused_message_is_not_sent(
    bus: KafkaBus, topic: str, admin: KafkaAdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka, "BATCH_BYTES", 900)
    name = f"plainstack.{topic}"
    admin.create_topics({name: {"num_partitions": 1, "configs": {"max.message.bytes": "1000"}}})
    admin.wait_for_topics([name])
    good, too_large = numbered(topic, range(200), KEYS[:1]), Message(topic, KEYS[0], b"9" * 2000)
    async with bus.publisher([topic]) as publisher:
        await publisher.send(good[:1])
        with pytest.raises(Unavailable, match="MessageSizeTooLargeError"):
            await publisher.send([*good[1:3], too_large, *good[3:]])
        with pytest.raises(Unavailable, match="earlier"):
            await publisher.send(good[3:])
        with pytest.raises(Unavailable, match="earlier"):
            await publisher.confirm()
    arrived = await history(bus, topic)
    assert arrived == list(range(len(arrived)))
    assert len(arrived) <= 3


# A broker that is away


async def test_where_there_is_no_broker_that_is_told_at_once() -> None:
    bus, seen = KafkaBus(Secret(f"kafka://127.0.0.1:{free_port_base()}")), Seen()
    for work in (
        bus.consume("group", ["topic"], seen.handle),
        bus.lag("group", ["topic"]),
        history(bus, "topic"),
    ):
        with pytest.raises(Unavailable, match="Kafka does not answer"):
            await asyncio.wait_for(work, LEAVE_SECONDS)
    await eventually(lambda: not threads())


async def test_a_frozen_broker_holds_nobody_up(
    kafka_broker: KafkaBroker, bus: KafkaBus, topic: str, group: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    seen = Seen()
    consuming = asyncio.create_task(bus.consume(group, [topic], seen.handle))
    async with listener(bus, topic) as listening, loop_delay() as delays:
        async with bus.publisher([topic]) as publisher:
            await publisher.send(numbered(topic, range(3), KEYS[:1]))
            await seen.until(range(3))
            kafka_broker.freeze()
            try:
                works = (
                    publisher.send(numbered(topic, range(3, 6), KEYS[:1])),
                    bus.consume(group, [topic], seen.handle),
                    bus.lag(group, [topic]),
                )
                told = await asyncio.wait_for(asyncio.gather(*works, return_exceptions=True), AWAY_SECONDS)
                assert [type(each) for each in told] == [Unavailable] * len(works)
                beginning = time.monotonic()
                await cancel(consuming)
                assert time.monotonic() - beginning < LEAVE_SECONDS
            finally:
                kafka_broker.thaw()
        await publish_surely(bus, numbered(topic, range(3, 9), KEYS[:1]))
        await listening.until(range(9))
        async with member(bus, group, topic, seen):
            await seen.until(range(9))
    assert listening.first_times() == seen.first_times() == {KEYS[0]: list(range(9))}
    assert statistics.median(delays) < USUAL_SECONDS
    assert max(delays) < LONGEST_SECONDS
    assert [record for record in caplog.records if record.name.startswith("kafka")] == []
    await eventually(lambda: not threads())
