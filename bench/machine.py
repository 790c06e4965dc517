"""Processes of a benchmark: each pinned to one core, all ended with it."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

START_SECONDS = 20.0
STOP_SECONDS = 10.0

SUBJECT_CORE = 0  # what is measured has this core for itself
OTHER_CORE = 1  # load and upstream share that one


def pinned(core: int, command: Sequence[str]) -> list[str]:
    """`command` on one core, where the machine has several and can pin."""
    if hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > core:
        return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[core]), *command]
    return list(command)


@contextmanager
def running(command: Sequence[str], core: int, log: Path, environment: Mapping[str, str]) -> Iterator[int]:
    """`command` runs while the block does; its process id."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, command), stdout=output, stderr=output, env={**os.environ, **environment}
        )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS)


def free_port() -> int:
    """A TCP port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(port: int, log: Path) -> None:
    """Return when something listens there. Raises RuntimeError with the end of `log` when nothing does."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"nothing listens on port {port}: {log.read_text()[-2000:]}")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children have used."""
    total = 0.0
    for each in [pid, *_children(pid)]:
        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
        total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
