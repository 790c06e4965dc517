"""Fixtures that start whole systems."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from scripts.support.postgres_data import PostgresData
from scripts.support.secret_files import make_secrets, secret_keys
from shared.config import Environment
from tests.e2e.system import CHEAP_PASSWORDS, CORE, SMALLEST, System, procfile_of
from tests.scripts.forked import import_before

NewSystem = Callable[..., System]

# What the operator's commands import (admin, events and rpc), and services that are killed and come back.
import_before([f"scripts.support.admin.{name}" for name in ("accounts", "users", "audit", "clients", "keys")])
import_before([f"scripts.support.events.{name}" for name in ("letters", "repairs", "settings", "waiting")])
import_before([f"services.{name}.main" for name in ("product", "inventory", "payment", "order", "chat")])
import_before(["ws_gateway", "google.protobuf.json_format", "shared.events.redis_streams"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder is an end-to-end test."""
    for item in items:
        if "tests/e2e/" in item.nodeid:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A running system that all tests share: leave it as it was. It ends with the last of them."""
    shared = System(tmp_path_factory.mktemp("system") / "home", CHEAP_PASSWORDS)
    try:
        shared.start()
        yield shared
    finally:
        shared.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of a system that has made its secrets and its PostgreSQL, and has not run yet.

    To copy it takes a tenth of the time. It need not outlive the machine, whose disk may be busy for long.
    """
    home = tmp_path_factory.mktemp("made") / "home"
    make_secrets(home, secret_keys())
    PostgresData(Environment({"PLAINSTACK_HOME": str(home)})).prepare()
    with (home / "postgres" / "postgresql.conf").open("a") as settings:
        settings.write("fsync = off\n")
    return home


@pytest.fixture
def new_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewSystem]:
    """Makes systems that are not started yet; settings may be given, and a home to begin with."""
    systems: list[System] = []

    def make(settings: Mapping[str, str] | None = None, *, made: Path | None = None) -> System:
        home = tmp_path_factory.mktemp("system") / "home"
        systems.append(System(home, {**CHEAP_PASSWORDS, **(settings or {})}, made=made))
        return systems[-1]

    yield make
    for each in systems:
        each.close()


@pytest.fixture(scope="session")
def _smallest_system(tmp_path_factory: pytest.TempPathFactory, made: Path) -> System:
    folder = tmp_path_factory.mktemp("smallest")
    return System(folder / "home", procfile_of(SMALLEST, folder), made=made)


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
