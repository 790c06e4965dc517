"""Restarting: at once after a rare death, more and more slowly when a process keeps dying."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scripts.support.keep import ALIVE_LONG_ENOUGH, FIRST_DELAY, LONGEST_DELAY, next_delay, with_venv_first
from scripts.support.records import Records
from shared.config import CHECKOUT
from tests.waiting import until

SLEEP = "import time; time.sleep(60)"


@contextmanager
def keeping(home: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """A keeper of Python code, called `it.1`, with its output in a pipe."""
    keeper = subprocess.Popen(
        [CHECKOUT / "scripts" / "keep", "python", "-u", "-c", code],
        env={**os.environ, "PLAINSTACK_HOME": str(home), "HONCHO_PROCESS_NAME": "it.1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield keeper
    finally:
        if keeper.poll() is None:
            keeper.terminate()
        keeper.communicate(timeout=10)


def test_the_delay_doubles_up_to_half_a_minute() -> None:
    delay: float | None = None
    delays = []
    for _ in range(9):
        delay = next_delay(delay, alive=0.1)
        delays.append(delay)
    assert delays == [0.25, 0.5, 1, 2, 4, 8, 16, 30, 30]


@given(st.floats(FIRST_DELAY, LONGEST_DELAY), st.floats(ALIVE_LONG_ENOUGH, 1e6))
def test_a_long_life_makes_the_next_death_the_first(delay: float, alive: float) -> None:
    assert next_delay(delay, alive) == FIRST_DELAY < 1


def test_the_commands_of_the_venv_come_first() -> None:
    path = with_venv_first({"PATH": "/usr/bin", "A": "b"})
    assert path["PATH"] == f"{CHECKOUT}/.venv/bin:/usr/bin"
    assert path["A"] == "b"


def test_a_dead_command_is_started_again(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with keeping(tmp_path, SLEEP):
        until(lambda: records.read("it.1"), 5, "it runs")
        first = records.read("it.1")
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        started = time.monotonic()
        until(lambda: records.read("it.1") not in (None, first), 1, "it runs again")
        assert time.monotonic() - started < 1


def test_every_death_is_said_with_its_reason(tmp_path: Path) -> None:
    with keeping(tmp_path, "raise SystemExit(3)") as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "keep: it.1 ended with status 3, starts again in 0.25 s\n"
        assert keeper.stdout.readline() == "keep: it.1 ended with status 3, starts again in 0.5 s\n"


def test_sigterm_is_passed_on_and_waited_for(tmp_path: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: (print('drained'), sys.exit(0)));"
        "print('up'); signal.pause()"
    )
    with keeping(tmp_path, code) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "up\n"
        keeper.send_signal(signal.SIGTERM)
        assert keeper.stdout.readline() == "drained\n"
        assert keeper.wait(5) == 0


def test_a_stop_between_two_starts_is_quick(tmp_path: Path) -> None:
    with keeping(tmp_path, "raise SystemExit(3)") as keeper:
        assert keeper.stdout is not None
        for _ in range(3):
            keeper.stdout.readline()  # the next delay is a second
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(0.9) == 0


def test_a_killed_keeper_takes_its_command_along(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with keeping(tmp_path, SLEEP) as keeper:
        until(lambda: records.read("it.1"), 5, "it runs")
        keeper.kill()
        until(lambda: records.read("it.1") is None, 2, "it has gone")


def test_without_its_parent_it_leaves(tmp_path: Path) -> None:
    records = Records(tmp_path)
    command = [str(CHECKOUT / "scripts" / "keep"), "python", "-c", SLEEP]
    starter = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(60)"
    environment = {**os.environ, "PLAINSTACK_HOME": str(tmp_path), "HONCHO_PROCESS_NAME": "it.1"}
    with subprocess.Popen([sys.executable, "-c", starter], env=environment) as parent:
        until(lambda: records.read("it.1"), 5, "it runs")
        parent.kill()
    until(lambda: records.alive().keys() <= {"honcho"}, 3, "both have gone")  # here that is ourselves
