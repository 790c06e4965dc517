"""The worlds that the contract suite runs in."""

import pytest

from tests.contracts.kafka_world import kafka_thread, kafka_way, kafka_world  # noqa: F401 - fixtures
from tests.contracts.redis_world import redis_world, streams_way  # noqa: F401 - fixtures
from tests.contracts.worlds import SERVERS, TRANSPORTS, MemoryWorld, World


@pytest.fixture(params=TRANSPORTS)
def world(request: pytest.FixtureRequest) -> World:
    """Each transport's in turn."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture(params=SERVERS)
def server_world(request: pytest.FixtureRequest) -> World:
    """Of each transport that has a server of its own."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found


@pytest.fixture
def memory_world() -> World:
    """Within this process."""
    return MemoryWorld()
