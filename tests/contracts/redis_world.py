"""Redis Streams, on a Valkey that keeps what it was told."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from shared.db.database import Database
from shared.events.bus import Bus
from shared.events.ownership import DatabaseOwnership
from shared.events.redis_streams import RedisStreamsBus
from shared.events.redis_topics import streams_of
from tests.contracts.worlds import Way, fresh
from tests.engines import Engines
from tests.services.databases import opened
from tests.shared.auth.valkey import Valkey


@dataclass
class RedisWorld:
    """A World in which the members of a group use one database."""

    server: Valkey
    database: Database
    way: Way
    topic: str = field(default_factory=lambda: fresh("topic"))
    group: str = field(default_factory=lambda: fresh("group"))

    def bus(self) -> Bus:
        """As World says; there is nothing to be closed."""
        return RedisStreamsBus(self.server.url, DatabaseOwnership(self.database))

    async def kill_engine(self) -> None:
        """As World says."""
        await asyncio.to_thread(self.server.kill)

    async def start_engine(self) -> None:
        """As World says."""
        await asyncio.to_thread(self.server.start)

    async def lose_topic(self) -> None:
        """As World says."""
        self.server.client.delete(*streams_of(self.topic))


@pytest.fixture(scope="session")
def streams_way(engines: Engines, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Valkey, Way]]:
    """The server, and how it is reached."""
    server = Valkey(tmp_path_factory.mktemp("streams"), durable=True)
    server.start()
    yield server, Way(server.url, engines.new_database())
    server.close()


@pytest.fixture
async def redis_world(streams_way: tuple[Valkey, Way], tmp_path: Path) -> AsyncIterator[RedisWorld]:
    """On a server that has served other tests."""
    server, way = streams_way
    async with opened(way.database_url, tmp_path) as database:
        yield RedisWorld(server, database, way)
