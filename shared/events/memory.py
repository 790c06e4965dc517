"""A bus within one process, for tests: the same promises, and an engine that can be killed.

All MemoryBus that look at one MemoryEngine are to each other as processes are that use one server.
"""

import asyncio
import zlib
from collections import defaultdict
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager

from shared.errors import Unavailable
from shared.events.bus import PARTITIONS, Handle, Heard, Message, Resumed

Partition = tuple[str, int]  # of a topic


class MemoryEngine:
    """What the server would be: a log per partition, and how far each group has come in it."""

    def __init__(self) -> None:
        self.logs: dict[Partition, list[Message]] = defaultdict(list)
        self.handled: dict[tuple[str, Partition], int] = defaultdict(
            int
        )  # by group: how many, from the oldest
        self.turns: dict[tuple[str, Partition], asyncio.Lock] = defaultdict(
            asyncio.Lock
        )  # one at a time handles
        self.life = 0  # how often it has died; what was connected to an earlier life is lost
        self._is_up = True
        self._confirmed: dict[Partition, int] = {}
        self._news = asyncio.Event()

    def kill(self) -> None:
        """It loses what is not confirmed, and everybody their connection, until `start`."""
        for partition, log in self.logs.items():
            del log[self._confirmed.get(partition, 0) :]
        for (group, partition), count in self.handled.items():
            self.handled[group, partition] = min(count, len(self.logs[partition]))
        self._is_up = False
        self.life += 1
        self.tell()

    def start(self) -> None:
        """It is there again."""
        self._is_up = True

    def check(self, life: int | None = None) -> None:
        """Raises Unavailable while it is away, or when it is no longer in that `life`."""
        if not self._is_up or life not in (None, self.life):
            raise Unavailable("The event bus does not answer.")

    def put(self, message: Message) -> None:
        """At the end of its partition."""
        number = zlib.crc32(message.key.encode()) % PARTITIONS
        log = self.logs[message.topic, number]
        place = f"{message.topic}/{number}/{len(log)}"
        log.append(Message(message.topic, message.key, message.value, place))

    def confirm(self) -> None:
        """Nothing that is there now will be lost."""
        self._confirmed = {partition: len(log) for partition, log in self.logs.items()}

    def tell(self) -> None:
        """Let everybody look again who waits for something new."""
        heard, self._news = self._news, asyncio.Event()
        heard.set()

    async def read(self, partition: Partition, position: int, life: int) -> Message:
        """What stands at `position`, as soon as there is something. Raises Unavailable."""
        while True:
            self.check(life)
            if position < len(self.logs[partition]):
                return self.logs[partition][position]
            await self._news.wait()


class MemoryBus:
    """The engine as one process reaches it."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def publisher(self, topics: Sequence[str]) -> AsyncIterator["MemoryPublisher"]:
        """As Bus says."""
        self._engine.check()
        yield MemoryPublisher(self._engine)

    async def consume(self, group: str, topics: Sequence[str], handle: Handle) -> None:
        """As Bus says. Members take turns: after each message the partition is another's who waits for it."""
        engine, life = self._engine, self._engine.life

        async def work(partition: Partition) -> None:
            while True:
                async with engine.turns[group, partition]:
                    message = await engine.read(partition, engine.handled[group, partition], life)
                    await handle(message)
                    engine.check(life)
                    engine.handled[group, partition] += 1

        await _all_of([work(partition) for partition in _partitions(topics)])

    async def broadcast(
        self, topics: Sequence[str], handle: Handle, resumed: Resumed, heard: Heard | None = None
    ) -> None:
        """As Bus says. `heard` counts messages from the oldest."""
        engine, life = self._engine, self._engine.life
        heard = {} if heard is None else heard
        engine.check()
        names = {f"{topic}/{number}": (topic, number) for topic, number in _partitions(topics)}
        for name, partition in names.items():
            end = len(engine.logs[partition])
            heard[name] = min(heard.get(name, end), end)

        async def work(name: str, partition: Partition) -> None:
            while True:
                await handle(await engine.read(partition, heard[name], life))
                heard[name] += 1

        await resumed()
        await _all_of([work(name, partition) for name, partition in names.items()])

    async def history(self, topic: str) -> AsyncIterator[Message]:
        """As Bus says."""
        self._engine.check()
        for message in [each for partition in _partitions([topic]) for each in self._engine.logs[partition]]:
            self._engine.check()
            yield message

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """As Bus says."""
        self._engine.check()
        waiting = dict.fromkeys(topics, 0)
        for partition in _partitions(topics):
            waiting[partition[0]] += (
                len(self._engine.logs[partition]) - self._engine.handled[group, partition]
            )
        return waiting

    async def close(self) -> None:
        """Nothing is connected."""


class MemoryPublisher:
    """A way onto the bus."""

    def __init__(self, engine: MemoryEngine) -> None:
        self._engine = engine
        self._life = engine.life

    async def send(self, messages: Sequence[Message]) -> None:
        """As Publisher says."""
        self._engine.check(self._life)
        for message in messages:
            self._engine.put(message)
        self._engine.tell()

    async def confirm(self) -> None:
        """As Publisher says."""
        self._engine.check(self._life)
        self._engine.confirm()

    async def tidy(self) -> None:
        """Nothing is dropped: tests are short."""
        self._engine.check(self._life)


def _partitions(topics: Sequence[str]) -> list[Partition]:
    return [(topic, number) for topic in topics for number in range(PARTITIONS)]


async def _all_of(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Until one of them fails, which ends the others."""
    try:
        async with asyncio.TaskGroup() as tasks:
            for work in works:
                tasks.create_task(work)
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
