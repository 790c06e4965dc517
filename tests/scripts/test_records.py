"""A recorded process is never mistaken for another that got its id."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from scripts.support.records import Identity, Records, end, identify, parent_of


def test_we_are_alive_and_have_a_parent() -> None:
    us = identify(os.getpid())
    assert us is not None
    assert us.is_alive()
    assert parent_of(os.getpid()) == os.getppid()


def test_another_start_is_another_process(tmp_path: Path) -> None:
    records = Records(tmp_path)
    records.write("us", os.getpid())
    assert records.read("us") == identify(os.getpid())
    (tmp_path / "run" / "us").write_text(f"{os.getpid()} yesterday\n")
    assert records.read("us") is None


def test_what_cannot_be_read_counts_as_nobody(tmp_path: Path) -> None:
    records = Records(tmp_path)
    assert records.read("nobody") is None
    assert records.alive() == {}
    records.folder.mkdir()
    (records.folder / "broken").write_text("")
    assert records.alive() == {}


def test_a_dead_process_that_nobody_waited_for_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        found = identify(child.pid)
        assert found is not None
        end([found], signal.SIGTERM, 5)
        assert not found.is_alive()


def test_who_does_not_leave_is_killed() -> None:
    stubborn = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", stubborn], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        found = identify(child.pid)
        assert found is not None
        end([found], signal.SIGTERM, 0.1)
    assert child.returncode == -signal.SIGKILL


def test_a_stranger_is_left_alone() -> None:
    end([Identity(os.getpid(), "yesterday")], signal.SIGKILL, 0)
