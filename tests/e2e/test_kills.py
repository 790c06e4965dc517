"""Whatever is killed comes back with its data, or leaves nothing behind."""

import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from scripts.support.keep import FIRST_DELAY
from scripts.support.records import parent_of
from tests.e2e.leftovers import assert_all_have_left
from tests.e2e.system import System
from tests.waiting import until


@pytest.mark.parametrize("name", ["gateway.1", "auth.1", "product.1", "postgres.1", "valkey.1"])
def test_a_killed_process_is_started_again_within_a_second(system: System, name: str) -> None:
    """The log says that it is tried so soon; how long the machine takes to do it is not our promise."""
    family = name.partition(".")[0]
    others = {key: value for key, value in system.records.alive().items() if not key.startswith(family)}
    said = f"keep: {name} was ended by SIGKILL, starts again in {FIRST_DELAY:g} s"
    before = system.log().count(said)
    former = system.kill(name)
    system.wait_for_successor(name, former, 20)
    until(lambda: system.log().count(said) > before, 10, f"the log says: {said}")
    assert FIRST_DELAY < 1
    system.wait_until_ready()
    assert {key: system.records.read(key) for key in others} == others


@pytest.mark.parametrize("name", ["postgres-server", "valkey-server"])
def test_a_killed_server_is_back_with_its_data(system: System, name: str) -> None:
    system.put_row()
    former = system.kill(name)
    system.wait_for_successor(name, former, 10)
    system.wait_until_ready()
    assert system.has_row()


@pytest.fixture(scope="module")
def _survivor(_smallest_system: System) -> Iterator[System]:
    yield _smallest_system
    _smallest_system.close()


@pytest.fixture
def runs(_survivor: System) -> System:
    """The smallest system, running."""
    return _survivor.start_unless_it_runs()


@pytest.mark.parametrize("names", [["up"], ["honcho"], ["valkey.1.keep"], ["up", "honcho"]])
def test_after_a_kill_the_next_start_finds_all_data(runs: System, names: list[str]) -> None:
    kill_and_start(runs, names)


def test_after_the_death_of_all_it_starts_and_stops_as_ever(runs: System) -> None:
    kill_and_start(runs, list(runs.records.alive()))
    assert runs.stop() == 0
    assert_all_have_left(runs)


def kill_and_start(system: System, names: list[str]) -> None:
    system.put_row()
    for identity in [system.process(name) for name in names]:
        with suppress(ProcessLookupError):  # dead already, with the one it hangs on
            os.kill(identity.pid, signal.SIGKILL)
    system.start()
    assert system.has_row()


def test_a_killed_launcher_leaves_nothing_behind(runs: System) -> None:
    runs.kill("up")
    assert_all_have_left(runs)


def test_a_killed_honcho_leaves_nothing_behind(runs: System) -> None:
    runs.kill("honcho")
    assert_all_have_left(runs)


def test_a_keeper_that_honcho_lost_ends_everything(runs: System) -> None:
    """The process between honcho and a keeper is killed: honcho does not notice, so `up` has to."""
    already = len(runs.log())
    os.kill(parent_of(runs.process("valkey.1.keep").pid), signal.SIGKILL)
    until(lambda: "valkey.1.keep has gone" in runs.log()[already:], 40, "up says what is missing")
    assert_all_have_left(runs)
