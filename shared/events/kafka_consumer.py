"""From Kafka to `handle`, as a member of a group or on one's own.

One loop asks Kafka for more, again and again, and tells it how far the lanes have come. It never waits for
them: heartbeats go on however long a handler waits, so nobody is put out of the group because of a database
that is away. A lane that has enough in hand is paused.

A partition moves in two steps ("cooperative" rebalancing, KIP-429): its owner gives it up, then another gets
it. To give it up we close its lane, wait until nothing is at work there, and commit what is done; the commit
goes ahead of our request to join again, over the same connection. A member that Kafka has put out commits
nothing: the partition is another's already.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from kafka import AsyncConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import CommitFailedError, RebalanceInProgressError, RetriableError
from kafka.future import Future

from shared.config import Secret
from shared.crash_points import crash_points_around
from shared.errors import Unavailable
from shared.events.bus import Handle, Heard, Message, Resumed
from shared.events.kafka_client import (
    ANSWER_SECONDS,
    CLOSE_SECONDS,
    RETRY_AFTER_SECONDS,
    Threaded,
    connected,
    milliseconds,
)
from shared.events.kafka_lanes import Done, Found, Lanes, message_of
from shared.events.kafka_topics import make_topics, on_kafka

SESSION_SECONDS = 6.0  # after so long without a heartbeat a member is dead; brokers allow no less by default
HEARTBEAT_SECONDS = 0.5  # which also tells a member that others come or leave
STUCK_SECONDS = 30.0  # after so long without a poll a member leaves
POLL_SECONDS = 0.5  # messages are there at once all the same
BUSY_POLL_SECONDS = 0.03  # a poll cannot be interrupted, and we have something to tell
COMMIT_SECONDS = 1.0
FETCH_BYTES = 256 * 1024  # of a partition at once; one message may be larger
LEAVE_SECONDS = CLOSE_SECONDS / 2  # to commit, and as long to say goodbye

# Without a connection. A broker starts again in less, and a member that has waited goes on where it was; one
# that comes anew has to wait SESSION_SECONDS, until Kafka takes the old one for dead.
AWAY_SECONDS = 8.0

Commit = Callable[[Done], Awaitable[Done]]  # returns what has been taken


async def consume(url: Secret, group: str, topics: Sequence[str], handle: Handle) -> None:
    """As Bus.consume says."""
    await make_topics(url, topics)
    lanes = Lanes(handle)
    settings = {
        "group_id": on_kafka(group),
        "session_timeout_ms": milliseconds(SESSION_SECONDS),
        "heartbeat_interval_ms": milliseconds(HEARTBEAT_SECONDS),
        "max_poll_interval_ms": milliseconds(STUCK_SECONDS),
        "partition_assignment_strategy": (CooperativeStickyAssignor,),
        "auto_offset_reset": "earliest",
    }
    async with _consumer(url, partial(_leave, lanes), **settings) as client:

        async def commit(done: Done) -> Done:
            with crash_points_around("acknowledge"):
                return await client.call(_commit, done, COMMIT_SECONDS)

        names = [on_kafka(topic) for topic in topics]
        await client.call(KafkaConsumer.subscribe, names, listener=_Moves(client, lanes))
        async with lanes.opened():
            await _receive(client, lanes, commit)


async def broadcast(
    url: Secret, topics: Sequence[str], handle: Handle, resumed: Resumed, heard: Heard
) -> None:
    """As Bus.broadcast says. `heard` has the offset at which to go on in each partition.

    If Kafka has lost what comes next, that is Unavailable: it has been missed.
    """
    await make_topics(url, topics)
    lanes = Lanes(handle)

    async def note(done: Done) -> Done:
        heard.update({_name(partition): offset for partition, offset in done.items()})
        return done

    async with _consumer(url, _close, auto_offset_reset="none") as client:
        await note(await client.call(_go_on, [on_kafka(topic) for topic in topics], heard))
        await resumed()
        try:
            async with lanes.opened():
                await _receive(client, lanes, note)
        finally:
            await note(lanes.done())


async def history(url: Secret, topic: str) -> AsyncIterator[Message]:
    """As Bus.history says."""
    async with _consumer(url, _close, auto_offset_reset="earliest") as client:
        ends = await client.call(_go_to_beginning, on_kafka(topic))
        connection = _Connection(client)
        while await client.call(_is_before, ends):
            for partition, records in (await client.call(_poll, set(), POLL_SECONDS)).items():
                for record in records:
                    if record.offset < ends[partition]:
                        yield message_of(record)
            connection.check()


def _consumer(
    url: Secret, close: Callable[[KafkaConsumer], None], **settings: Any
) -> AbstractAsyncContextManager[Threaded[KafkaConsumer]]:
    common = {
        "enable_auto_commit": False,
        "allow_auto_create_topics": False,
        "metrics_enabled": False,
        "max_partition_fetch_bytes": FETCH_BYTES,
        # All of it. From a partition that is paused while some is left, nothing comes ever again (3.0.12).
        "max_poll_records": sys.maxsize,
    }
    return connected(KafkaConsumer, url, close, **common, **settings)


async def _receive(client: Threaded[KafkaConsumer], lanes: Lanes, commit: Commit) -> None:
    """Until cancelled. Raises Unavailable."""
    connection = _Connection(client)
    while True:
        seconds = BUSY_POLL_SECONDS if lanes.are_busy() else POLL_SECONDS
        lanes.add(await client.call(_poll, lanes.full(), seconds))
        if done := lanes.done():
            lanes.note_committed(await commit(done))
        connection.check()


class _Connection:
    """Knows how long it has been gone: kafka-python tries again for ever, and says nothing."""

    def __init__(self, client: Threaded[KafkaConsumer]) -> None:
        self._client = client
        self._seen = time.monotonic()

    def check(self) -> None:
        """Raises Unavailable after AWAY_SECONDS."""
        now = time.monotonic()
        if self._client.is_connected():
            self._seen = now
        elif now - self._seen > AWAY_SECONDS:
            raise Unavailable("Kafka cannot be reached any more.", retry_after=RETRY_AFTER_SECONDS)


class _Moves(AsyncConsumerRebalanceListener):  # type: ignore[misc] # kafka-python has no types
    """Told when partitions come and go, in kafka-python's own thread, on its own event loop."""

    def __init__(self, client: Threaded[KafkaConsumer], lanes: Lanes) -> None:
        self._client = client
        self._lanes = lanes
        self._loop = asyncio.get_running_loop()

    async def on_partitions_assigned(self, assigned: Set[TopicPartition]) -> None:
        """A lane begins with its first message."""

    async def on_partitions_revoked(self, revoked: Set[TopicPartition]) -> None:
        """They are ours until we join again."""
        if done := await self._give_up(revoked):
            self._client.raw.commit_async(_offsets(done))

    async def on_partitions_lost(self, lost: Set[TopicPartition]) -> None:
        """They are another's."""
        await self._give_up(lost)

    async def _give_up(self, partitions: Set[TopicPartition]) -> Done:
        answer = Future()
        asyncio.run_coroutine_threadsafe(self._answer(partitions, answer), self._loop)
        done: Done = await answer
        return done

    async def _answer(self, partitions: Set[TopicPartition], answer: Future) -> None:
        """On our event loop."""
        done: Done = {}
        try:
            done = await self._lanes.give_up(partitions)
        finally:
            answer.success(done)
            self._client.wake()


# What follows runs in the client's thread.


def _poll(consumer: KafkaConsumer, full: Set[TopicPartition], seconds: float) -> Found:
    paused = consumer.paused()
    consumer.pause(*((full - paused) & consumer.assignment()))
    consumer.resume(*(paused - full))
    found: Found = consumer.poll(milliseconds(seconds))
    return found


def _commit(consumer: KafkaConsumer, done: Done, seconds: float) -> Done:
    """What Kafka has taken: nothing while members come or leave, and then it is told the next time."""
    try:
        consumer.commit(_offsets(done), timeout_ms=milliseconds(seconds))
    except (CommitFailedError, RebalanceInProgressError, RetriableError):
        return {}
    return done


def _offsets(done: Done) -> dict[TopicPartition, OffsetAndMetadata]:
    return {partition: OffsetAndMetadata(offset) for partition, offset in done.items()}


def _leave(lanes: Lanes, consumer: KafkaConsumer) -> None:
    if done := lanes.done():
        _commit(consumer, done, LEAVE_SECONDS)
    _close(consumer)


def _close(consumer: KafkaConsumer) -> None:
    consumer.close(autocommit=False, timeout_ms=milliseconds(LEAVE_SECONDS))


def _partitions_of(consumer: KafkaConsumer, name: str) -> list[TopicPartition]:
    return [TopicPartition(name, number) for number in sorted(consumer.partitions_for_topic(name))]


def _name(partition: TopicPartition) -> str:
    return f"{partition.topic}:{partition.partition}"


def _go_on(consumer: KafkaConsumer, names: Sequence[str], heard: Heard) -> Done:
    """Where `heard` says, as far as there is what follows, and at the end where it says nothing.

    Returns the offsets. One that Kafka does not have (any more) would make it refuse, again and again.
    """
    partitions = [partition for name in names for partition in _partitions_of(consumer, name)]
    consumer.assign(partitions)
    oldest, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    begun: dict[TopicPartition, int] = {}
    for partition in partitions:
        wanted = heard.get(_name(partition), ends[partition])
        begun[partition] = max(oldest[partition], min(wanted, ends[partition]))
        consumer.seek(partition, begun[partition])
    return begun


def _go_to_beginning(consumer: KafkaConsumer, name: str) -> Done:
    """Returns where it ends now."""
    partitions = _partitions_of(consumer, name)
    if not partitions:
        return {}
    consumer.assign(partitions)
    ends: Done = consumer.end_offsets(partitions)
    return ends


def _is_before(consumer: KafkaConsumer, ends: Done) -> bool:
    positions = (
        (consumer.position(partition, milliseconds(ANSWER_SECONDS)), end) for partition, end in ends.items()
    )
    return any(position is None or position < end for position, end in positions)
