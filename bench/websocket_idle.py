"""What a socket costs that stands and says nothing, and how long many take to stand."""

import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.machine import cpu_seconds
from bench.table import table
from bench.websocket_load import Plan
from bench.websocket_sides import OURS, PEER, Side, clients, echoing
from shared.descriptors import RESERVED

WARM_UP = 100  # sockets, so that what a process needs only once is there


@dataclass(frozen=True, slots=True)
class Idle:
    """One side with so many sockets."""

    name: str
    compressed: bool
    bytes_each: float
    seconds: float  # until all stood
    cpu_each: float  # seconds of the server's processor for each


def measure_idle(folder: Path, count: int, compressions: Sequence[bool] = (False, True)) -> str:
    """The table. Fewer than `count` sockets where the system does not let a process have so many."""
    possible = min(count, _most())
    note = "" if possible == count else f" (not {count}: a process may have no more descriptors here)"
    settings = product(compressions, (OURS, PEER))
    results = [_measure(folder, name, possible, compressed) for compressed, name in settings]
    return f"{possible} idle sockets{note}\n\n{_table(results)}"


def _measure(folder: Path, name: str, count: int, compressed: bool) -> Idle:
    with echoing(name, folder) as side:
        with _open(side, WARM_UP, compressed):
            pass
        memory, cpu = side.resident_bytes, cpu_seconds(side.pid)
        with _open(side, count, compressed) as seconds:
            memory, cpu = side.resident_bytes - memory, cpu_seconds(side.pid) - cpu
    return Idle(name, compressed, memory / count, seconds, cpu / count)


@contextmanager
def _open(side: Side, count: int, compressed: bool) -> Iterator[float]:
    """So many sockets stand; the seconds that it took."""
    with clients(Plan(port=side.port, targets=["/"] * count, compressed=compressed)) as load:
        yield load.seconds


def _most() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 2**31 if hard == resource.RLIM_INFINITY else hard - RESERVED


def _table(results: Sequence[Idle]) -> str:
    heads = ["server", "deflate", "kB/socket", "all stand after s", "CPU µs/handshake", "memory ratio"]
    rows = []
    for each in results:
        peer = next(other for other in results if other.name == PEER and other.compressed == each.compressed)
        rows.append(
            [
                each.name,
                "yes" if each.compressed else "no",
                f"{each.bytes_each / 1000:.1f}",
                f"{each.seconds:.1f}",
                f"{each.cpu_each * 1e6:.0f}",
                f"{each.bytes_each / peer.bytes_each:.2f}",
            ]
        )
    return table(heads, rows)
