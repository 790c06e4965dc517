"""Fixtures for every test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import Engines
from tests.shared.auth.valkey import Valkey


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
