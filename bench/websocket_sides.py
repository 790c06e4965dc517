"""The two that are compared, each on one core, and the clients on the other."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.machine import OTHER_CORE, SUBJECT_CORE, free_port, pinned, running, wait_for_port
from bench.websocket_load import Plan, Report
from shared.config import CHECKOUT

OURS, PEER = "plainstack", "websockets"
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Side:
    """A server that listens."""

    name: str
    port: int
    pid: int

    @property
    def resident_bytes(self) -> int:
        """The memory that its process has now (VmRSS)."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) * 1024


@contextmanager
def echoing(name: str, folder: Path) -> Iterator[Side]:
    """The echo mode of the one that goes by `name`."""
    port, log = free_port(), folder / f"{name}.log"
    ours = [str(CHECKOUT / "ws_gateway.py"), "--echo", "--port", str(port)]
    arguments = ours if name == OURS else ["-m", "bench.websocket_peer", str(port)]
    with running([sys.executable, *arguments], SUBJECT_CORE, log, {}) as pid:
        wait_for_port(port, log)
        yield Side(name, port, pid)


@contextmanager
def listening_peer(folder: Path, room_id: str, variables: Mapping[str, str]) -> Iterator[Side]:
    """The peer as an audience of that room, at the bus that the settings `variables` name."""
    port, log = free_port(), folder / f"{PEER}.log"
    command = [sys.executable, "-m", "bench.websocket_peer", str(port), room_id]
    with running(command, SUBJECT_CORE, log, variables) as pid:
        wait_for_port(port, log)
        yield Side(PEER, port, pid)


class Load:
    """The clients' process."""

    def __init__(self, process: "subprocess.Popen[str]", seconds: float) -> None:
        self._process = process
        self.seconds = seconds  # until all their sockets stood

    def reset(self) -> Report:
        """Count from here on; what was counted before."""
        return self._ask("reset")

    def report(self) -> Report:
        """What was counted."""
        return self._ask("report")

    def _ask(self, command: str) -> Report:
        return _exchange(self._process, command)


@contextmanager
def clients(plan: Plan) -> Iterator[Load]:
    """The clients of `plan`, all connected. Raises RuntimeError when that fails."""
    command = pinned(OTHER_CORE, [sys.executable, "-m", "bench.websocket_load"])
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    ) as process:
        try:
            yield Load(process, _exchange(process, msgspec.json.encode(plan).decode()).seconds)
        finally:
            process.communicate(timeout=STOP_SECONDS)


def _exchange(process: "subprocess.Popen[str]", line: str) -> Report:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    if not (answer := process.stdout.readline()):
        raise RuntimeError("the clients have given up")
    return msgspec.json.decode(answer, type=Report)


def confine(pid: int, core: int) -> None:
    """Let all threads of a process run on one core, where the machine has several and can pin."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) <= core:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cores[core]})
