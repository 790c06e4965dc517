"""Our WebSockets beside the `websockets` library, in three parts of one run.

idle   what a socket costs that says nothing
echo   round trips
room   one message to many: the WebSocket gateway's daily work

Each server has one core for itself; the clients, and whatever else there must be, share the other. Both run
on uvloop. The library compresses where the client offers it, and keeps a window for each connection, as is
its default; we keep none. Ratios are ours to theirs. "By CPU" compares what a second of the server's
processor achieves: above 1, ours achieves more.
"""

import platform
import tempfile
from importlib.metadata import version
from os import cpu_count
from pathlib import Path

from bench.websocket_echo import measure_echo
from bench.websocket_idle import measure_idle
from bench.websocket_room import Climb, measure_room


def measure_websocket(connections: int, subscribers: int, seconds: int) -> int:
    """Prints the tables; exit status."""
    print(f"{_machine()}\n", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(f"{measure_idle(folder, connections)}\n", flush=True)
        print(f"{measure_echo(folder, seconds)}\n", flush=True)
        print(measure_room(folder, Climb(subscribers, seconds)))
    return 0


def _machine() -> str:
    libraries = ", ".join(f"{name} {version(name)}" for name in ("websockets", "wsproto", "uvloop"))
    return f"{cpu_count()} cores, {_processor()}, Python {platform.python_version()}, {libraries}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
