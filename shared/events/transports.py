"""Which bus EVENTS_URL means."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module

from shared.config import Environment
from shared.db.database import Database
from shared.events.bus import Bus
from shared.events.ownership import DatabaseOwnership

# Loaded when it is chosen: kafka-python takes a quarter of a second, which most processes need not spend.
TRANSPORTS = {
    "redis": ("shared.events.redis_streams", "RedisStreamsBus"),
    "rediss": ("shared.events.redis_streams", "RedisStreamsBus"),
    "kafka": ("shared.events.kafka", "KafkaBus"),
}


@asynccontextmanager
async def open_bus(environment: Environment, database: Database | None = None) -> AsyncIterator[Bus]:
    """The bus while the block runs. Who consumes for a group needs a `database` to settle who owns what.

    Raises ConfigError when EVENTS_URL cannot be used.
    """
    url = environment.events_url()
    module, name = TRANSPORTS[url.value.partition(":")[0]]
    bus: Bus = getattr(import_module(module), name)(url, database and DatabaseOwnership(database))
    try:
        yield bus
    finally:
        await bus.close()
