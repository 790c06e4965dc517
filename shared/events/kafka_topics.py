"""Topics on Kafka: how ours are made, and how much of them a group has not handled yet.

Both are asked for seldom, so each time over connections that are made for it.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import timedelta

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import RetriableError, TopicAlreadyExistsError, for_code

from shared.config import Secret
from shared.events.bus import PARTITIONS
from shared.events.kafka_client import ANSWER_SECONDS, connected, milliseconds

PREFIX = "plainstack."  # of our topics and groups: the cluster may have others
KEPT = timedelta(days=7)  # less long than inboxes remember
RETRY_SECONDS = 0.1

NONE = 0  # an error code, as TopicAlreadyExistsError.errno


def on_kafka(name: str) -> str:
    """What our topic, or group, is called there."""
    return PREFIX + name


def of_ours(name: str) -> str:
    """The other way round."""
    return name.removeprefix(PREFIX)


async def make_topics(url: Secret, topics: Sequence[str]) -> None:
    """Make those that are missing. Raises Unavailable."""
    async with connected(KafkaAdminClient, url, KafkaAdminClient.close) as admin:
        await admin.call(_make_topics, [on_kafka(topic) for topic in topics])


async def lag(url: Secret, group: str, topics: Sequence[str]) -> Mapping[str, int]:
    """How many messages of each topic the group has not committed. Raises Unavailable."""
    async with connected(KafkaAdminClient, url, KafkaAdminClient.close) as admin:
        waiting = await admin.call(_count_waiting, on_kafka(group), [on_kafka(topic) for topic in topics])
    return {of_ours(topic): count for topic, count in waiting.items()}


def _make_topics(admin: KafkaAdminClient, names: Sequence[str]) -> None:
    missing = sorted(set(names) - set(admin.list_topics()))
    if not missing:
        return
    configs = {"retention.ms": str(milliseconds(KEPT.total_seconds()))}
    wanted = {name: {"num_partitions": PARTITIONS, "configs": configs} for name in missing}
    for topic in admin.create_topics(wanted, raise_errors=False)["topics"]:
        if topic["error_code"] not in (NONE, TopicAlreadyExistsError.errno):
            raise for_code(topic["error_code"])(topic["error_message"])
    admin.wait_for_topics(missing, timeout_ms=milliseconds(ANSWER_SECONDS))


def _count_waiting(admin: KafkaAdminClient, group: str, names: Sequence[str]) -> dict[str, int]:
    found = admin.describe_topics(list(names))
    places = [
        TopicPartition(topic["name"], each["partition_index"])
        for topic in found
        for each in topic["partitions"]
    ]
    committed = _committed(admin, group)
    starts = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.EARLIEST))
    ends = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
    waiting = dict.fromkeys(names, 0)
    for place in places:
        begun = max(committed.get(place, 0), starts[place].offset)
        waiting[place.topic] += max(0, ends[place].offset - begun)
    return waiting


def _committed(admin: KafkaAdminClient, group: str) -> dict[TopicPartition, int]:
    """Where the group goes on. For the first group ever, Kafka has to make its topic of offsets."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        try:
            offsets = admin.list_group_offsets({group: None})[group]
        except RetriableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
        else:
            return {place: each.offset for place, each in offsets.items()}
