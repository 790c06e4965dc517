"""Restarting: at once after a rare death, more and more slowly when a process keeps dying."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from scripts.support.keep import (
    AFTER_SECONDS,
    ALIVE_LONG_ENOUGH,
    FIRST_DELAY,
    LONGEST_DELAY,
    next_delay,
    with_venv_first,
)
from scripts.support.records import Records
from scripts.support.refusals import Refusals
from shared.config import CHECKOUT
from tests.waiting import until

SLEEP = "import time; time.sleep(60)"
SECONDS = 20.0  # for whatever happens soon


@contextmanager
def keeping(home: Path, code: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    """A keeper of Python code, called `it.1`, with its output in a pipe, as under honcho."""
    keeper = subprocess.Popen(
        [CHECKOUT / "scripts" / "keep", *options, "python", "-u", "-c", code],
        env={**os.environ, "PLAINSTACK_HOME": str(home), "HONCHO_PROCESS_NAME": "it.1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
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
    with keeping(tmp_path, SLEEP) as keeper:
        until(lambda: records.read("it.1"), SECONDS, "it runs")
        first = records.read("it.1")
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "keep: it.1 was ended by SIGKILL, starts again in 0.25 s\n"
        until(lambda: records.read("it.1") not in (None, first), SECONDS, "it runs again")


def test_every_death_is_said_with_its_reason(tmp_path: Path) -> None:
    with keeping(tmp_path, "raise SystemExit(3)") as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.readline() == "keep: it.1 ended with status 3, starts again in 0.25 s\n"
        assert keeper.stdout.readline() == "keep: it.1 ended with status 3, starts again in 0.5 s\n"


def test_a_refused_setting_is_shown_and_recorded(tmp_path: Path) -> None:
    code = "import sys; print('first\\nit: KEY: is bad', file=sys.stderr); sys.exit(2)"
    with keeping(tmp_path, code) as keeper:
        assert keeper.stdout is not None
        shown = [keeper.stdout.readline() for _ in range(3)]
        assert shown[:2] == ["first\n", "it: KEY: is bad\n"]
        assert shown[2].startswith("keep: it.1 ended with status 2, starts again")
        until(lambda: Refusals(tmp_path).first() == "it: KEY: is bad", SECONDS, "it is recorded")


def test_what_works_now_is_no_refusal_any_more(tmp_path: Path) -> None:
    refusals = Refusals(tmp_path)
    refusals.write("it.1", "KEY: was bad")
    assert refusals.first() == "it: KEY: was bad"
    with keeping(tmp_path, SLEEP):
        until(lambda: not refusals.first(), SECONDS, "the refusal is forgotten")


def test_much_standard_error_comes_through(tmp_path: Path) -> None:
    """More than a pipe holds, while it runs, when it is told to stop, and without a last newline."""
    code = (
        "import signal, sys; much = 'x' * 200_000; print(much, file=sys.stderr);"
        "signal.signal(signal.SIGTERM, lambda *_: (print(much, file=sys.stderr, end=''), sys.exit(0)));"
        "print('up'); signal.pause()"
    )
    with keeping(tmp_path, code) as keeper:
        assert keeper.stdout is not None
        first = ""
        while "up" not in first or first.count("x") < 200_000:  # standard output may overtake
            first += keeper.stdout.readline()
        assert first.count("x") == 200_000
        keeper.send_signal(signal.SIGTERM)
        assert keeper.stdout.read().count("x") == 200_000
        assert keeper.wait(SECONDS) == 0


def test_it_starts_after_those_it_is_to_wait_for(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with keeping(tmp_path, SLEEP, "--after", "postgres,valkey"):
        until(lambda: records.read("it.1.keep"), SECONDS, "its keeper runs")
        records.write("postgres-ready", os.getpid())
        assert records.read("it.1") is None
        records.write("valkey-ready", os.getpid())
        until(lambda: records.read("it.1"), AFTER_SECONDS - 2, "it runs")


def test_a_stop_before_the_first_start_is_quick(tmp_path: Path) -> None:
    with keeping(tmp_path, SLEEP, "--after", "valkey") as keeper:
        until(lambda: Records(tmp_path).read("it.1.keep"), SECONDS, "its keeper runs")
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(AFTER_SECONDS - 2) == 0


def test_a_bad_command_line_is_told_how_it_goes() -> None:
    for arguments in ([], ["--after", "nobody", "true"]):
        command = [str(CHECKOUT / "scripts" / "keep"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith("usage: scripts/keep")


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
        assert keeper.wait(SECONDS) == 0


def test_a_stop_between_two_starts_is_quick(tmp_path: Path) -> None:
    with keeping(tmp_path, "raise SystemExit(3)") as keeper:
        assert keeper.stdout is not None
        for _ in range(5):
            keeper.stdout.readline()  # the next delay is four seconds
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(3) == 0


def test_a_killed_keeper_takes_its_command_along(tmp_path: Path) -> None:
    records = Records(tmp_path)
    with keeping(tmp_path, SLEEP) as keeper:
        until(lambda: records.read("it.1"), SECONDS, "it runs")
        keeper.kill()
        until(lambda: records.read("it.1") is None, SECONDS, "it has gone")


def test_without_its_parent_it_leaves(tmp_path: Path) -> None:
    records = Records(tmp_path)
    command = [str(CHECKOUT / "scripts" / "keep"), "python", "-c", SLEEP]
    starter = f"import subprocess, time; subprocess.Popen({command!r}); time.sleep(60)"
    environment = {**os.environ, "PLAINSTACK_HOME": str(tmp_path), "HONCHO_PROCESS_NAME": "it.1"}
    with subprocess.Popen([sys.executable, "-c", starter], env=environment) as parent:
        until(lambda: records.read("it.1"), SECONDS, "it runs")
        parent.kill()
    until(lambda: records.alive().keys() <= {"honcho"}, SECONDS, "both have gone")  # here that is ourselves
