"""Round trips: one client that waits for each answer, and several."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.machine import cpu_seconds
from bench.table import table
from bench.websocket_load import Plan
from bench.websocket_sides import OURS, PEER, Side, clients, echoing

CLIENTS = (1, 32)
SIZES = (100, 65_536)  # bytes
WARM_UP_SECONDS = 0.3
WORDS = "a message of ordinary words, which can be made half as long or shorter; "


@dataclass(frozen=True, slots=True)
class Trips:
    """What one side did in one setting."""

    per_second: float
    cpu_each: float  # seconds of the server's processor for each


Setting = tuple[bool, int, int]  # whether compressed, clients, bytes
EVERY_SETTING = tuple(product((False, True), CLIENTS, SIZES))


def measure_echo(folder: Path, seconds: float, settings: Sequence[Setting] = EVERY_SETTING) -> str:
    """The table."""
    with echoing(OURS, folder) as ours, echoing(PEER, folder) as peer:
        results = [(_measure(ours, each, seconds), _measure(peer, each, seconds)) for each in settings]
    rows = [_row(setting, *trips) for setting, trips in zip(settings, results, strict=True)]
    return f"Echo, {seconds:g} s each\n\n{table(_HEADS, rows)}"


def _measure(side: Side, setting: Setting, seconds: float) -> Trips:
    compressed, count, size = setting
    text = (WORDS * (size // len(WORDS) + 1))[:size]
    plan = Plan(port=side.port, targets=["/"] * count, compressed=compressed, again=text)
    with clients(plan) as load:
        time.sleep(WARM_UP_SECONDS)
        before, began = cpu_seconds(side.pid), load.reset()
        time.sleep(seconds)
        report, spent = load.report(), cpu_seconds(side.pid) - before
    return Trips(report.frames / (report.at - began.at), spent / max(report.frames, 1))


_HEADS = ["echo", "deflate", "ours/s", "theirs/s", "ratio", "our CPU µs", "their CPU µs", "by CPU"]


def _row(setting: Setting, ours: Trips, peer: Trips) -> list[str]:
    compressed, count, size = setting
    return [
        f"{count} x {size} B",
        "yes" if compressed else "no",
        f"{ours.per_second:.0f}",
        f"{peer.per_second:.0f}",
        f"{ours.per_second / peer.per_second:.2f}",
        f"{ours.cpu_each * 1e6:.0f}",
        f"{peer.cpu_each * 1e6:.0f}",
        f"{peer.cpu_each / ours.cpu_each:.2f}",
    ]
