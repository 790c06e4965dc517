"""One room with many subscribers, and a stream of messages that gets quicker until somebody falls behind.

Both sides get the messages in the same way: as the chat service's events, from the bus. Ours is the gateway
of a whole system; the peer listens to the same bus. A delay is the whole way, from before a message is put
on the bus until a subscriber has it.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench.machine import cpu_seconds
from bench.table import milliseconds, table
from bench.websocket_load import Report
from bench.websocket_sides import OURS, PEER, Load, Side, clients
from bench.websocket_speaker import Speaker, Spoken
from bench.websocket_stage import open_stage

DELIVERIES = (5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 320_000)  # a second, asked for
LATE_SECONDS = 1.0  # a 99th percentile beyond it: the queue only grows
QUIET_SECONDS = 1.5  # without a frame, and everything has come that will
QUIET_BEFORE_SECONDS = 2.0  # likewise: so soon it has been said who is in the room
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Climb:
    """What is asked of a side: deliveries per second, for so many seconds each, as long as it can."""

    subscribers: int
    seconds: float
    rates: Sequence[int] = DELIVERIES


@dataclass(frozen=True, slots=True)
class Step:
    """One side at one rate."""

    name: str
    compressed: bool
    asked: int  # deliveries per second
    expected: int  # deliveries
    got: Report
    spoken: Spoken
    cpu: float  # seconds of the server's processor

    @property
    def per_second(self) -> float:
        """Deliveries, while messages were sent, or for as long as they took to arrive."""
        return self.got.frames / max(self.got.last - self.spoken.began, self.spoken.seconds)

    @property
    def is_behind(self) -> bool:
        """Whether something is missing, or came too late."""
        return self.got.frames < self.expected or self.got.p99 > LATE_SECONDS

    @property
    def cpu_per_million(self) -> float:
        """Seconds for a million deliveries."""
        return self.cpu / max(self.got.frames, 1) * 1e6


def measure_room(folder: Path, climb: Climb) -> str:
    """The table."""
    steps = list[Step]()
    with open_stage(folder) as stands:
        for compressed, stand in product((False, True), stands):
            with clients(stand.plan(climb.subscribers, compressed=compressed)) as load:
                steps += go_up(climb, stand.side, stand.speaker, load, compressed=compressed)
    heading = f"One room, {climb.subscribers} subscribers, {climb.seconds:g} s at each rate"
    return f"{heading}\n\n{table(_HEADS, (_row(step, steps) for step in steps))}"


def go_up(climb: Climb, side: Side, speaker: Speaker, load: Load, *, compressed: bool) -> Iterator[Step]:
    """From rate to rate, to the first at which it falls behind."""
    _wait_until_quiet(load, quiet=QUIET_BEFORE_SECONDS)
    for rate in climb.rates:
        load.reset()
        before = cpu_seconds(side.pid)
        spoken = speaker.speak(rate / climb.subscribers, climb.seconds)
        expected = spoken.messages * climb.subscribers
        got = _wait_until_quiet(load, expected)
        spent = cpu_seconds(side.pid) - before
        step = Step(side.name, compressed, rate, expected, got, spoken, spent)
        yield step
        if step.is_behind:
            return


def _wait_until_quiet(load: Load, expected: int = -1, quiet: float = QUIET_SECONDS) -> Report:
    """What was counted once all that is expected has come, or nothing comes any more."""
    report = load.report()
    quiet_since = time.monotonic()
    while report.frames != expected and time.monotonic() - quiet_since < quiet:
        time.sleep(POLL_SECONDS)
        frames, report = report.frames, load.report()
        if report.frames != frames:
            quiet_since = time.monotonic()
    return report


_HEADS = [
    "server",
    "deflate",
    "asked/s",
    "delivered/s",
    "of all",
    "median ms",
    "p99 ms",
    "CPU s/million",
    "by CPU",
]


def _row(step: Step, steps: Sequence[Step]) -> list[str]:
    got = step.got
    closed = f", {got.closed} closed: {got.failure}" if got.closed else ""
    return [
        step.name,
        "yes" if step.compressed else "no",
        str(step.asked),
        f"{step.per_second:.0f}",
        f"{100 * got.frames / step.expected:.1f} %{closed}",
        milliseconds(got.median),
        milliseconds(got.p99),
        f"{step.cpu_per_million:.1f}",
        _by_cpu(step, steps),
    ]


def _by_cpu(step: Step, steps: Sequence[Step]) -> str:
    """Beside what the peer needed at the same rate."""
    setting = (PEER, step.compressed, step.asked)
    peers = [each for each in steps if (each.name, each.compressed, each.asked) == setting]
    return f"{peers[0].cpu_per_million / step.cpu_per_million:.2f}" if peers and step.name == OURS else ""
