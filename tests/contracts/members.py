"""What tests do with a bus: publish whatever happens, consume whatever happens, and know what came when."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from shared.errors import Unavailable
from shared.events.bus import Bus, Heard, Message
from shared.tasks import background
from tests.waiting import eventually

RETRY_SECONDS = 0.05
PATIENCE_SECONDS = 30.0  # of a busy machine
KEYS = tuple(f"key-{number}" for number in range(16))  # enough for every member of a group to have some
Hook = Callable[[Message], Awaitable[None]]


def numbered(topic: str, numbers: Sequence[int], keys: Sequence[str] = KEYS) -> list[Message]:
    """One message for each of `numbers`, under the keys in turn."""
    return [Message(topic, keys[number % len(keys)], str(number).encode()) for number in numbers]


class Seen:
    """What was handled, by however many members. `hook` runs in each handling, before it is noted."""

    def __init__(self, hook: Hook | None = None) -> None:
        self.messages: list[Message] = []
        self._numbers: set[int] = set()
        self._hook = hook

    async def handle(self, message: Message) -> None:
        """For Bus.consume."""
        if self._hook is not None:
            await self._hook(message)
        self.messages.append(message)
        self._numbers.add(int(message.value))

    def numbers(self) -> list[int]:
        """In the order of handling, repetitions included."""
        return [int(message.value) for message in self.messages]

    def first_times(self) -> dict[str, list[int]]:
        """For each key, the numbers in the order in which they were handled first."""
        return first_times([(message.key, int(message.value)) for message in self.messages])

    async def until(self, numbers: Sequence[int]) -> None:
        """Wait until all of them have been handled, and tell which were not in time."""
        try:
            await eventually(lambda: self._numbers.issuperset(numbers), PATIENCE_SECONDS)
        except TimeoutError:
            missing = sorted(set(numbers) - self._numbers)
            raise AssertionError(f"never handled: {missing}") from None


def first_times(pairs: Sequence[tuple[str, int]]) -> dict[str, list[int]]:
    """Of each key, its numbers without repetitions."""
    found: dict[str, dict[int, None]] = {}
    for key, number in pairs:
        found.setdefault(key, {})[number] = None
    return {key: list(numbers) for key, numbers in found.items()}


def in_order(numbers: Sequence[int], keys: Sequence[str] = KEYS) -> dict[str, list[int]]:
    """What first_times has to be when all of `numbered` have come."""
    return first_times([(keys[number % len(keys)], number) for number in sorted(numbers)])


async def publish(bus: Bus, messages: Sequence[Message]) -> None:
    """Send and confirm, once."""
    async with bus.publisher(sorted({each.topic for each in messages})) as publisher:
        await publisher.send(messages)
        await publisher.confirm()


async def publish_surely(bus: Bus, messages: Sequence[Message]) -> None:
    """Until it is confirmed, whatever is away meanwhile, as a relay does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            try:
                return await publish(bus, messages)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)


async def consume_always(bus: Bus, group: str, topics: Sequence[str], seen: Seen) -> None:
    """Whatever is away meanwhile, as a consumer does."""
    while True:
        try:
            await bus.consume(group, topics, seen.handle)
        except Unavailable:
            await asyncio.sleep(RETRY_SECONDS)


@asynccontextmanager
async def member(bus: Bus, group: str, topic: str, seen: Seen | None = None) -> AsyncIterator[Seen]:
    """One more member of `group` while the block runs. It is gone when the block ends, handling or not."""
    seen = seen or Seen()
    async with background(consume_always(bus, group, [topic], seen), "member"):
        yield seen


@asynccontextmanager
async def listener(
    bus: Bus, topic: str, seen: Seen | None = None, heard: Heard | None = None
) -> AsyncIterator[Seen]:
    """One more listener, whatever is away meanwhile. The block begins once it can miss nothing any more."""
    seen, is_listening = seen or Seen(), asyncio.Event()

    async def resumed() -> None:
        is_listening.set()

    async def listen() -> None:
        place: Heard = {} if heard is None else heard
        while True:
            try:
                await bus.broadcast([topic], seen.handle, resumed, place)
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)

    async with background(listen(), "listener"):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await is_listening.wait()
        yield seen
