"""What a transport gives to the contract suite: an engine to be killed, and the bus as processes see it."""

import secrets
from dataclasses import dataclass, field
from typing import Protocol

from shared.config import Secret
from shared.events.bus import Bus
from shared.events.memory import MemoryBus, MemoryEngine

# Each has a fixture `NAME_world`, which may call pytest.skip where its engine cannot be had. Those that have
# servers are also tried with members in processes of their own.
SERVERS = ("redis", "kafka")
TRANSPORTS = ("memory", *SERVERS)


@dataclass(frozen=True)
class Way:
    """How a process of its own reaches the bus; see process.py."""

    events_url: Secret
    database_url: Secret  # where members of a group settle who owns what


class World(Protocol):
    """One test's world. Its topic and its group are fresh; the engine may have served other tests."""

    topic: str
    group: str
    way: Way | None  # None where there are no other processes

    def bus(self) -> Bus:
        """The bus as one more process sees it. It is closed when the test ends."""

    async def kill_engine(self) -> None:
        """As kill -9 does."""

    async def start_engine(self) -> None:
        """On the data that it had. Returns when it answers."""

    async def lose_topic(self) -> None:
        """The engine forgets all that it knows of the topic."""


def fresh(kind: str) -> str:
    """A name that no other test has."""
    return f"{kind}-{secrets.token_hex(4)}"


@dataclass
class MemoryWorld:
    """A World within this process."""

    engine: MemoryEngine = field(default_factory=MemoryEngine)
    topic: str = field(default_factory=lambda: fresh("topic"))
    group: str = field(default_factory=lambda: fresh("group"))
    way: Way | None = None

    def bus(self) -> Bus:
        """As World says."""
        return MemoryBus(self.engine)

    async def kill_engine(self) -> None:
        """As World says."""
        self.engine.kill()

    async def start_engine(self) -> None:
        """As World says."""
        self.engine.start()

    async def lose_topic(self) -> None:
        """As World says."""
        self.engine.logs.clear()
