"""`./scripts/up --kafka`: Kafka starts, is killed, comes back with what it had acknowledged, and leaves."""

from contextlib import closing
from pathlib import Path

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from tests.e2e.conftest import NewSystem
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.system import START_SECONDS, UP, System, procfile_of
from tests.kafka_broker import need_kafka
from tests.waiting import until

TOPIC = "kept"
ANSWER_SECONDS = 30.0


def put_record(address: str) -> None:
    """Returns when it is acknowledged."""
    with closing(KafkaAdminClient(bootstrap_servers=address)) as admin:
        admin.create_topics({TOPIC: {"num_partitions": 2, "replication_factor": 1}})
    with closing(KafkaProducer(bootstrap_servers=address)) as producer:
        producer.send(TOPIC, b"42").get(ANSWER_SECONDS)


def read_records(address: str) -> list[bytes]:
    """All there is, as soon as there is something."""
    consumer = KafkaConsumer(TOPIC, bootstrap_servers=address, group_id="it", auto_offset_reset="earliest")
    found: list[bytes] = []

    def look() -> bool:
        found.extend(record.value for records in consumer.poll(100).values() for record in records)
        return bool(found)

    with closing(consumer):
        until(look, ANSWER_SECONDS, "a record")
    return found


def test_a_killed_kafka_comes_back_with_its_records(new_system: NewSystem, tmp_path: Path) -> None:
    need_kafka()
    system: System = new_system(procfile_of(("kafka",), tmp_path))
    launcher = system.launch(UP, "--kafka")
    until(
        lambda: "up: ready: kafka 127.0.0.1:" in system.log() or launcher.poll() is not None,
        START_SECONDS,
        "the ready line",
        system.log,
    )
    address = f"127.0.0.1:{system.port_base + 92}"
    put_record(address)
    former = system.process("kafka-server")
    system.kill("kafka-server")
    system.wait_for_successor("kafka-ready", former, START_SECONDS)
    assert read_records(address) == [b"42"]
    assert system.stop() == 0
    assert_all_have_left(system)
