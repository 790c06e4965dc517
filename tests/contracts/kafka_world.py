"""Apache Kafka, one broker for all tests."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from kafka import KafkaAdminClient

from shared.config import Secret
from shared.events.bus import Bus
from shared.events.kafka import KafkaBus
from shared.events.kafka_topics import on_kafka
from tests.contracts.worlds import Way, fresh
from tests.engines import Engines
from tests.kafka_broker import KafkaBroker
from tests.waiting import until

DELETE_SECONDS = 10.0


@dataclass
class KafkaWorld:
    """A World in which the broker settles who owns what."""

    broker: KafkaBroker
    thread: Executor
    way: Way
    topic: str = field(default_factory=lambda: fresh("topic"))
    group: str = field(default_factory=lambda: fresh("group"))

    def bus(self) -> Bus:
        """As World says; there is nothing to be closed."""
        return KafkaBus(self.way.events_url)

    async def kill_engine(self) -> None:
        """As World says."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.broker.kill)

    async def start_engine(self) -> None:
        """As World says."""
        await asyncio.get_running_loop().run_in_executor(self.thread, self.broker.start)

    async def lose_topic(self) -> None:
        """As World says."""
        await asyncio.to_thread(self._delete_topic)

    def _delete_topic(self) -> None:
        name = on_kafka(self.topic)
        admin = KafkaAdminClient(bootstrap_servers=self.broker.url.removeprefix("kafka://"))
        try:
            admin.delete_topics([name])
            until(lambda: name not in admin.list_topics(), DELETE_SECONDS, "the topic is gone")
        finally:
            admin.close()


@pytest.fixture(scope="module")
def kafka_thread(kafka_broker: KafkaBroker) -> Iterator[Executor]:
    """Starts the broker again. It ends with the thread that has started it, so no test's own will do."""
    with ThreadPoolExecutor(1) as thread:
        yield thread


@pytest.fixture(scope="module")
def kafka_way(kafka_broker: KafkaBroker, engines: Engines) -> Way:
    """The database is what the processes of other transports need."""
    return Way(Secret(kafka_broker.url), engines.new_database())


@pytest.fixture
def kafka_world(kafka_broker: KafkaBroker, kafka_thread: Executor, kafka_way: Way) -> KafkaWorld:
    """With a topic and a group that nobody has used."""
    return KafkaWorld(kafka_broker, kafka_thread, kafka_way)
