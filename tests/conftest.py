"""Fixtures for every test."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import hypothesis
import pytest

from shared.auth import revocation_store
from shared.db import pool
from tests.engines import Engines
from tests.kafka_broker import KafkaBroker, need_kafka, untested_because
from tests.shared.auth.valkey import Valkey

# Tests start processes, and gRPC would revive its threads in each child until that becomes another program.
# Read when gRPC is first imported: later than this.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"

# Finds what grows without bound, and leaves a machine that stands still for a second alone.
hypothesis.settings.register_profile("patient", deadline=timedelta(seconds=5))
hypothesis.settings.load_profile("patient")

WHOLE_SYSTEMS, START_PROCESSES = "tests/e2e/", ("tests/e2e/", "tests/scripts/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What starts processes comes first: one such file takes as long as twenty others, and the worker that
    got it last would be alone with it at the end. Of those, the ones that share a system come together.
    """
    sharing = {item.path for item in items if "system" in getattr(item, "fixturenames", ())}

    def place(item: pytest.Item) -> tuple[bool, ...]:
        later = (not item.nodeid.startswith(folders) for folders in (WHOLE_SYSTEMS, START_PROCESSES))
        return (*later, item.path in sharing)

    items.sort(key=place)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that is slow is not away."""
    monkeypatch.setattr(pool, "CHECKOUT_SECONDS", 30.0)
    monkeypatch.setattr(revocation_store, "ANSWER_SECONDS", 10.0)


@pytest.fixture(autouse=True)
def _patient_races(request: pytest.FixtureRequest) -> None:
    """A race is about who is first, not about how soon."""
    if request.node.get_closest_marker("races"):
        request.getfixturevalue("patient")


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """A real PostgreSQL and a real Valkey, started when the first test asks."""
    running = Engines(tmp_path_factory.mktemp("engines"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of the test's own, to be killed, frozen and wiped; it keeps nothing."""
    server = Valkey(tmp_path, durable=False)
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="module")
def kafka_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    """A real Kafka, started when the first test asks. A minute of rest costs as much as another start."""
    need_kafka()
    with KafkaBroker(tmp_path_factory.mktemp("kafka") / "home") as broker:
        yield broker


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A suite that is green without Kafka must not look like one that is green with it."""
    for reason in untested_because(terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_sep("!", reason, red=True, bold=True)
