"""Fixtures that start whole systems."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.e2e.system import CHEAP_PASSWORDS, CORE, SMALLEST, System, procfile_of

NewSystem = Callable[..., System]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an end-to-end test."""
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system that all tests share: leave it as it was."""
    shared = System(tmp_path_factory.mktemp("system") / "home", CHEAP_PASSWORDS)
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest.fixture
def new_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSystem]:
    """Makes systems that are not started yet; settings may be given."""
    made: list[System] = []

    def make(settings: Mapping[str, str] | None = None) -> System:
        home = tmp_path_factory.mktemp("system") / "home"
        made.append(System(home, {**CHEAP_PASSWORDS, **(settings or {})}))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def _smallest_system(tmp_path_factory: pytest.TempPathFactory) -> System:
    folder = tmp_path_factory.mktemp("smallest")
    return System(folder / "home", procfile_of(SMALLEST, folder))


@pytest.fixture
def smallest_system(_smallest_system: System) -> Iterator[System]:
    """The smallest system there is, not running. Its data are there from one test to the next: to make them
    takes longer than to start on them.
    """
    _smallest_system.take_free_ports()
    yield _smallest_system
    _smallest_system.close()


@pytest.fixture
def engines_only(tmp_path: Path) -> dict[str, str]:
    """Settings of the smallest system there is."""
    return procfile_of(SMALLEST, tmp_path)


@pytest.fixture
def core_only(tmp_path: Path) -> dict[str, str]:
    """Settings of a system without most of the business services."""
    return procfile_of(CORE, tmp_path)


@pytest.fixture
def own_system(new_system: NewSystem, core_only: dict[str, str]) -> System:
    """A running system of the test's own, to be broken: without most of the business services."""
    own = new_system(core_only)
    own.start()
    return own
