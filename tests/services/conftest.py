"""Fixtures that the tests of all services share."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from shared.config import Secret
from tests.engines import Engines
from tests.services.databases import emptied

FOLDER = Path(__file__).parent


@pytest.fixture(scope="session")
def database_of(engines: Engines) -> Callable[[str], Secret]:
    """One database for all tests of a service, by the service's name."""
    return cache(lambda service: engines.new_database())


@pytest.fixture
def used_database_url(database_of: Callable[[str], Secret], request: pytest.FixtureRequest) -> Secret:
    """The database of the service that is tested, as the last test has left it."""
    return database_of(request.path.relative_to(FOLDER).parts[0])


@pytest.fixture
def database_url(engines: Engines, used_database_url: Secret) -> Secret:
    """The database of the service that is tested. It is empty; its tables may be there already."""
    return emptied(engines, used_database_url)


@pytest.fixture
def is_race(request: pytest.FixtureRequest) -> bool:
    """Whether the test is about many at once."""
    return request.node.get_closest_marker("races") is not None
