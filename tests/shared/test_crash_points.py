"""Crash points: nothing to whoever has not asked for them, and the end of who passes one that is armed."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.config import CHECKOUT
from shared.crash_points import crash_point, crash_points_around, read_crash_points
from shared.db.database import Database
from tests.engines import Engines
from tests.services.databases import opened

VICTIM = """
import sys
from shared.crash_points import crash_points_around, read_crash_points
read_crash_points(sys.argv[1])
for what in ("one", "two"):
    with crash_points_around(what):
        print(what)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where this process's crash points look; it survives as long as nothing is armed."""
    for each in ("armed", "passed"):
        (tmp_path / each).mkdir()
    read_crash_points(str(tmp_path))
    yield tmp_path
    read_crash_points(None)


def passed(folder: Path) -> list[str]:
    return sorted(each.name for each in (folder / "passed").iterdir())


def victim(folder: Path) -> tuple[int, list[str]]:
    """How it ended, and how far it came."""
    command = [sys.executable, "-c", VICTIM, str(folder)]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.split()


@pytest.mark.parametrize(
    ("point", "came_to"), [("before_one", []), ("after_one", ["one"]), ("before_two", ["one"])]
)
def test_who_passes_an_armed_point_dies_there_once(folder: Path, point: str, came_to: list[str]) -> None:
    (folder / "armed" / point).touch()
    assert victim(folder) == (-signal.SIGKILL, came_to)
    assert point in passed(folder)
    assert list((folder / "armed").iterdir()) == []
    assert victim(folder) == (0, ["one", "two"])
    assert passed(folder) == ["after_one", "after_two", "before_one", "before_two"]


def test_what_fails_has_no_after(folder: Path) -> None:
    with pytest.raises(ZeroDivisionError), crash_points_around("failure"):
        raise ZeroDivisionError
    assert passed(folder) == ["before_failure"]


def test_nobody_has_to_ask_for_them(folder: Path) -> None:
    read_crash_points(None)
    crash_point("unasked")
    read_crash_points("")
    crash_point("unasked")
    assert passed(folder) == []


async def test_a_transaction_has_its_points_around_the_commit(
    folder: Path, engines: Engines, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def stay_undone(database: Database) -> None:
        async with database.transaction("undone"):
            raise ZeroDivisionError

    async with opened(engines.new_database(), tmp_path_factory.mktemp("migrations")) as database:
        async with database.transaction(), database.transaction("named"), database.transaction("joined"):
            assert passed(folder) == []
        async with database.transaction():
            pass
        with pytest.raises(ZeroDivisionError):
            await stay_undone(database)
    assert passed(folder) == ["after_commit_of_named", "before_commit_of_named"]
