"""Fixtures for every test."""

from collections.abc import Iterator

import pytest

from tests.engines import Engines


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    """A real PostgreSQL and a real Valkey, started when the first test asks."""
    running = Engines(tmp_path_factory.mktemp("engines"))
    try:
        running.start()
        yield running
    finally:
        running.stop()
