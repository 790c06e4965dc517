"""`python -m bench.websocket_load`: many clients of WebSockets, in a process of their own.

A plan comes as a line of JSON on standard input, then a command a line; each is answered by a line of JSON.
The process ends with its input.

    the plan   once all sockets are open, and have been answered where they had something to say
    reset      counts from here on
    report     what was counted
"""

import asyncio
import sys
from time import monotonic

import msgspec
import uvloop

from bench.distributions import quantile
from bench.websocket_receiver import Manner, Receiver, Tally, handshake, text_frame
from shared import descriptors
from shared.config import LOOPBACK

OPENING_AT_ONCE = 100  # handshakes under way: a server that is starting up is not what is measured
PATIENCE_SECONDS = 60.0
POLL_SECONDS = 0.002
SAMPLED = 16  # every one of so many receivers looks into what it gets


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`targets` are the paths, one for each socket."""

    port: int
    targets: list[str]
    compressed: bool
    first: str = ""  # said once
    again: str = ""  # said once, and again after each answer


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to tell. Times in seconds; `at` and `last` by the monotonic clock."""

    seconds: float = 0.0  # until all stood
    at: float = 0.0
    frames: int = 0
    last: float = 0.0
    closed: int = 0
    median: float = 0.0  # of the delays, and their 99th percentile
    p99: float = 0.0
    failure: str = ""


async def main() -> None:
    """Until the end of the input."""
    plan = msgspec.json.decode(await asyncio.to_thread(sys.stdin.readline), type=Plan)
    descriptors.provide_for(len(plan.targets))
    tally = Tally()
    began = monotonic()
    await _open(plan, tally)
    _say(Report(seconds=monotonic() - began, failure=tally.failure))
    while command := await asyncio.to_thread(sys.stdin.readline):
        _say(_report(tally))
        if command.strip() == "reset":
            tally.reset()


async def _open(plan: Plan, tally: Tally) -> None:
    """All sockets, some at a time."""
    first = text_frame(plan.first, compressed=False) if plan.first else b""
    again = text_frame(plan.again, compressed=plan.compressed) if plan.again else b""
    loop = asyncio.get_running_loop()
    for start in range(0, len(plan.targets), OPENING_AT_ONCE):
        batch = plan.targets[start : start + OPENING_AT_ONCE]
        receivers = [
            Receiver(
                handshake(target, compressed=plan.compressed),
                Manner(first, again, samples=bool(first) and number % SAMPLED == 0),
                tally,
            )
            for number, target in enumerate(batch, start)
        ]
        await asyncio.gather(
            *(loop.create_connection(lambda each=each: each, LOOPBACK, plan.port) for each in receivers)  # type: ignore[misc]
        )
        await _until_open(tally, start + len(batch), must_answer=bool(first))


async def _until_open(tally: Tally, count: int, *, must_answer: bool) -> None:
    deadline = monotonic() + PATIENCE_SECONDS
    while tally.opened < count or (must_answer and tally.answered < count):
        if tally.failure or monotonic() > deadline:
            raise RuntimeError(f"{tally.opened} of {count} sockets are open: {tally.failure}")
        await asyncio.sleep(POLL_SECONDS)


def _report(tally: Tally) -> Report:
    median, p99 = (quantile(tally.delays, share) if tally.delays else 0.0 for share in (0.5, 0.99))
    return Report(
        at=monotonic(),
        frames=tally.frames,
        last=tally.last,
        closed=tally.closed,
        median=median,
        p99=p99,
        failure=tally.failure,
    )


def _say(report: Report) -> None:
    print(msgspec.json.encode(report).decode(), flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
