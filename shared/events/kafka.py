"""A bus on Apache Kafka.

A message goes to the partition that its key's hash names. Who works at which, Kafka's own group protocol
settles. What Kafka has acknowledged is on every replica that is in sync (acks=all), so there is nothing more
to confirm; and it drops by itself what is old.
"""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.producer.future import FutureRecordMetadata

from shared.config import Secret
from shared.errors import Unavailable
from shared.events import kafka_consumer, kafka_topics
from shared.events.bus import Handle, Heard, Message, Publisher, Resumed
from shared.events.kafka_client import ANSWER_SECONDS, RETRY_AFTER_SECONDS, Threaded, connected, milliseconds
from shared.events.ownership import Ownership

BATCH_BYTES = 128 * 1024
TRY_SECONDS = 60.0  # much longer than we wait


class KafkaBus:
    """As Bus says. `url` is kafka://host:port[,host:port…]; Kafka needs nobody else to settle ownership."""

    def __init__(self, url: Secret, ownership: Ownership | None = None) -> None:
        self._url = url

    def publisher(self, topics: Sequence[str]) -> AbstractAsyncContextManager[Publisher]:
        """As Bus says."""
        return _published(self._url, topics)

    async def consume(self, group: str, topics: Sequence[str], handle: Handle) -> None:
        """As Bus says."""
        await kafka_consumer.consume(self._url, group, topics, handle)

    async def broadcast(
        self, topics: Sequence[str], handle: Handle, resumed: Resumed, heard: Heard | None = None
    ) -> None:
        """As Bus says."""
        await kafka_consumer.broadcast(self._url, topics, handle, resumed, {} if heard is None else heard)

    def history(self, topic: str) -> AsyncIterator[Message]:
        """As Bus says."""
        return kafka_consumer.history(self._url, topic)

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """As Bus says."""
        return await kafka_topics.lag(self._url, group, topics)

    async def close(self) -> None:
        """Nothing: each of the above lets go of its connections itself."""


class _Publisher:
    """A producer and its first error, after which it sends nothing more.

    kafka-python has one numbered batch of a partition under way at a time, and tries it again by itself. But
    when it gives one up, because its time is over or Kafka expects another number, it goes on with the next,
    which may have later messages of the same keys. So we wait less long than it tries, and whatever it gives
    up all the same stops it, there and then.
    """

    def __init__(self, client: Threaded[KafkaProducer]) -> None:
        self._client = client
        self._has_failed = False

    async def send(self, messages: Sequence[Message]) -> None:
        """As Publisher says; and they are confirmed."""
        await self.confirm()
        try:
            await self._client.call(_send, messages)
        except BaseException:
            self.stop()
            raise

    async def confirm(self) -> None:
        """As Publisher says: they are already."""
        if self._has_failed:
            raise Unavailable("An earlier attempt to publish has failed.", retry_after=RETRY_AFTER_SECONDS)

    async def tidy(self) -> None:
        """As Publisher says: Kafka does so by itself."""

    def stop(self) -> None:
        """Send nothing more; whoever waits for an acknowledgement is told."""
        self._has_failed = True
        _stop(self._client.raw)


@asynccontextmanager
async def _published(url: Secret, topics: Sequence[str]) -> AsyncIterator[Publisher]:
    await kafka_topics.make_topics(url, topics)
    settings = {
        "acks": "all",
        "enable_idempotence": True,
        "batch_size": BATCH_BYTES,
        "max_block_ms": milliseconds(ANSWER_SECONDS),
        "delivery_timeout_ms": milliseconds(TRY_SECONDS),
        "metrics_enabled": False,
    }
    async with connected(KafkaProducer, url, _close, **settings) as client:
        publisher = _Publisher(client)
        try:
            yield publisher
        finally:
            publisher.stop()


# What follows runs in the client's thread; _stop wherever it is called.


def _send(producer: KafkaProducer, messages: Sequence[Message]) -> None:
    """Return when all of them are acknowledged; raises the first failure."""
    deadline, failures = time.monotonic() + ANSWER_SECONDS, list[Exception]()

    def stop(failure: Exception) -> None:  # called before the producer turns to the next batch
        failures.append(failure)
        _stop(producer)

    def put(message: Message) -> FutureRecordMetadata:
        name = kafka_topics.on_kafka(message.topic)
        return producer.send(name, message.value, message.key.encode()).add_errback(stop)

    try:
        for sent in [put(each) for each in messages]:
            sent.get(max(0.0, deadline - time.monotonic()))
    except KafkaError as failure:
        raise failures[0] if failures else failure from None


def _stop(producer: KafkaProducer) -> None:
    # Of the public methods, close(0) would do it, but raises before it has done anything (3.0.12).
    producer._sender.force_close()


def _close(producer: KafkaProducer) -> None:
    producer._sender.join()
    producer.close(0)
