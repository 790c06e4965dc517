"""Who runs here: PLAINSTACK_HOME/run/NAME holds a process's id and when it started.

A process id alone may belong to somebody else by the time it is read; together with the start time it cannot.
What a killed launcher left behind is found and ended by these records alone.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: its id and its start (an opaque text)."""

    pid: int
    started: str

    def is_alive(self) -> bool:
        """True while this very process runs; a dead one that nobody has waited for is not alive."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """The process that has `pid` now."""
    state, _, started = _status(pid)
    return Identity(pid, started) if started and not state.startswith("Z") else None


def parent_of(pid: int) -> int:
    """The id of `pid`'s parent, 0 when there is no such process."""
    return _status(pid)[1]


class Records:
    """The records of one PLAINSTACK_HOME."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "run"

    def write(self, name: str, pid: int) -> None:
        """Say that `pid` is `name` from now on. Atomic."""
        found = identify(pid)
        if found is None:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self.folder / f".{name}.{os.getpid()}"
        draft.write_text(f"{found.pid} {found.started}\n")
        draft.replace(self.folder / name)

    def read(self, name: str) -> Identity | None:
        """The process recorded as `name`, if it is still alive."""
        try:
            pid, started = (self.folder / name).read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        recorded = Identity(int(pid), started)
        return recorded if recorded.is_alive() else None

    def alive(self) -> dict[str, Identity]:
        """Every recorded process that is still alive, by name."""
        return dict(self._alive())

    def gone(self, pattern: str) -> list[str]:
        """The names that fit `pattern` and whose process is no longer alive."""
        names = sorted(path.name for path in self.folder.glob(pattern))
        return [name for name in names if self.read(name) is None]

    def remove(self, name: str) -> None:
        """Forget `name`."""
        (self.folder / name).unlink(missing_ok=True)

    def _alive(self) -> Iterator[tuple[str, Identity]]:
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("[!.]*")):
                if (found := self.read(path.name)) is not None:
                    yield path.name, found


def end(processes: Iterable[Identity], first: signal.Signals, seconds: float) -> None:
    """Send `first` to all of them, SIGKILL to who is still there after `seconds`; return when all left."""
    remaining = list(processes)
    _send(remaining, first)
    deadline = time.monotonic() + seconds
    while remaining := [process for process in remaining if process.is_alive()]:
        if time.monotonic() > deadline:
            _send(remaining, signal.SIGKILL)
        time.sleep(POLL_SECONDS)


def _send(processes: list[Identity], number: signal.Signals) -> None:
    for process in processes:
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _status(pid: int) -> tuple[str, int, str]:
    """State letter, parent id and start of `pid`; empty when there is no such process."""
    return _from_proc(pid) if sys.platform == "linux" else _from_ps(pid)


def _from_proc(pid: int) -> tuple[str, int, str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0, ""
    fields = text.rpartition(")")[2].split()  # proc(5): the name before may hold anything, blanks included
    state, parent, ticks = fields[0], fields[1], fields[19]
    return state, int(parent), f"{_boot()}:{ticks}"


def _from_ps(pid: int) -> tuple[str, int, str]:
    output = subprocess.run(
        ["ps", "-o", "stat=,ppid=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    ).stdout.split()
    return (output[0], int(output[1]), "-".join(output[2:])) if output else ("", 0, "")


@cache
def _boot() -> str:
    """Start times count from boot, so a record is good for one boot only."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
