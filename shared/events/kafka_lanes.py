"""Lanes: for each partition a task that hands over its messages, strictly one after the other.

A lane knows how far it has come, for Kafka to be told. Lanes are independent: where one waits, the others go
on.
"""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any

from kafka import TopicPartition

from shared.events.bus import Handle, Message
from shared.events.kafka_topics import of_ours
from shared.tasks import cancel

ENOUGH = 500  # messages in hand: a lane that has them is brought no more, and there is no need for it yet

Done = Mapping[TopicPartition, int]  # the offset at which to go on
Found = Mapping[TopicPartition, Sequence[Any]]  # kafka-python's records


class Lanes:
    """Those of the partitions that something has come from."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._lanes: dict[TopicPartition, _Lane] = {}
        self._tasks = asyncio.TaskGroup()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """They work while the block runs, and have ended after it. What a handler raises ends the block."""
        try:
            async with self._tasks:
                yield
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    def add(self, found: Found) -> None:
        """Put what has come behind what has come before."""
        for partition, records in found.items():
            if partition not in self._lanes:
                self._lanes[partition] = _Lane(self._handle, self._tasks)
            self._lanes[partition].add(records)

    def are_busy(self) -> bool:
        """Whether there will be something to commit soon."""
        return any(lane.is_busy for lane in self._lanes.values())

    def full(self) -> Set[TopicPartition]:
        """Those that have enough."""
        return {partition for partition, lane in self._lanes.items() if lane.is_full}

    def done(self) -> Done:
        """How far they have come, where that has not been committed."""
        news = (
            (partition, lane.done) for partition, lane in self._lanes.items() if lane.done != lane.committed
        )
        return {partition: done for partition, done in news if done is not None}

    def note_committed(self, done: Done) -> None:
        """Kafka has been told."""
        for partition, offset in done.items():
            if partition in self._lanes:
                self._lanes[partition].committed = offset

    async def give_up(self, partitions: Collection[TopicPartition]) -> Done:
        """Close these lanes. Returns what they have done, when nothing of them is at work any more."""
        closing = [self._lanes[partition].task for partition in partitions if partition in self._lanes]
        await cancel(*closing)
        done = {partition: offset for partition, offset in self.done().items() if partition in partitions}
        for partition in partitions:
            self._lanes.pop(partition, None)
        return done


class _Lane:
    """One of them; `done` and `committed` are None until there is something to tell."""

    def __init__(self, handle: Handle, tasks: asyncio.TaskGroup) -> None:
        self._handle = handle
        self._records: asyncio.Queue[Any] = asyncio.Queue()
        self._is_at_work = False
        self.done: int | None = None
        self.committed: int | None = None
        self.task = tasks.create_task(self._work())

    @property
    def is_full(self) -> bool:
        return self._records.qsize() >= ENOUGH

    @property
    def is_busy(self) -> bool:
        return self._is_at_work or not self._records.empty() or self.done != self.committed

    def add(self, records: Sequence[Any]) -> None:
        for record in records:
            self._records.put_nowait(record)

    async def _work(self) -> None:
        while True:
            record = await self._records.get()
            self._is_at_work = True
            await self._handle(message_of(record))
            self.done = record.offset + 1
            self._is_at_work = False


def message_of(record: Any) -> Message:
    """One of kafka-python's records as what it is to us."""
    place = f"{record.topic}:{record.partition}/{record.offset}"
    key = (record.key or b"").decode(errors="replace")
    return Message(of_ours(record.topic), key, record.value or b"", place)
