"""Fixtures that the tests of all services share."""

import pytest

from shared.config import Secret
from tests.engines import Engines
from tests.services.databases import empty


@pytest.fixture(scope="module")
def used_database_url(engines: Engines) -> Secret:
    """One database for all tests of a module."""
    return engines.new_database()


@pytest.fixture
def database_url(used_database_url: Secret) -> Secret:
    """An empty database."""
    return empty(used_database_url)


@pytest.fixture
def is_race(request: pytest.FixtureRequest) -> bool:
    """Whether the test is about many at once."""
    return request.node.get_closest_marker("races") is not None
