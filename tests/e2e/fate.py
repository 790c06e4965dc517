"""Who dies next while a system is at work: somebody at random, or whoever passes a crash point of chance.

Now and then somebody does not die but is frozen, and goes on much later as if nothing had happened.
"""

import asyncio
import math
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from scripts.support.records import Identity
from tests.e2e.crash_points import CrashPoints
from tests.e2e.system import System

FREEZES = 0.1  # of the strikes that are not at crash points
FROZEN_SECONDS = 13.0  # others have taken over by then what the process was at


@dataclass
class Deaths:
    """How many died, or were frozen, by the name of the process or of the crash point."""

    killed: Counter[str] = field(default_factory=Counter)
    frozen: Counter[str] = field(default_factory=Counter)
    at_points: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        told = {"killed": self.killed, "frozen": self.frozen, "died at a crash point": self.at_points}
        return "\n".join(f"{what}: {_counted(names)}" for what, names in told.items())


class Fate:
    """Strikes once in so many seconds, always the same for the same `chance` and the same course of things.

    `share` of the strikes, from 0 to 1, are at crash points, of which any that has been passed may be next.
    """

    def __init__(
        self, system: System, points: CrashPoints, victims: Sequence[str], share: float, chance: random.Random
    ) -> None:
        self._system = system
        self._points = points
        self._victims = victims
        self._share = share
        self._chance = chance
        self._turn: list[str] = []
        self._frozen: list[tuple[float, Identity]] = []
        self.deaths = Deaths()

    async def strike(self, every: float) -> None:
        """Again and again, until cancelled. Then nobody is frozen any more."""
        try:
            while True:
                await self._strike(every)
                self._thaw(time.monotonic())
        finally:
            self._thaw(math.inf)

    async def _strike(self, seconds: float) -> None:
        known = sorted(self._points.passed())
        if known and self._chance.random() < self._share:
            await self._lie_in_wait(self._chance.choice(known), seconds)
            return
        if self._chance.random() < FREEZES:
            self._freeze()
        else:
            self._kill()
        await asyncio.sleep(seconds)

    async def _lie_in_wait(self, point: str, seconds: float) -> None:
        """Nobody need come by."""
        self._points.arm(point)
        try:
            await asyncio.sleep(seconds)
        finally:
            if self._points.disarm(point):
                self.deaths.at_points[point] += 1

    def _kill(self) -> None:
        if victim := self._next():
            name, process = victim
            self._signal(process, signal.SIGKILL)
            self.deaths.killed[name] += 1

    def _freeze(self) -> None:
        if victim := self._next():
            name, process = victim
            self._signal(process, signal.SIGSTOP)
            self._frozen.append((time.monotonic() + FROZEN_SECONDS, process))
            self.deaths.frozen[name] += 1

    def _thaw(self, now: float) -> None:
        """Those who have been frozen for long enough."""
        for until, process in self._frozen:
            if until <= now:
                self._signal(process, signal.SIGCONT)
        self._frozen = [(until, process) for until, process in self._frozen if until > now]

    def _next(self) -> tuple[str, Identity] | None:
        """Each in turn, in an order of chance; who is not there has had enough for now."""
        self._turn = self._turn or self._chance.sample(self._victims, len(self._victims))
        name = self._turn.pop()
        process = self._system.records.read(name)
        return None if process is None else (name, process)

    def _signal(self, process: Identity, number: signal.Signals) -> None:
        if process.is_alive():
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def _counted(names: Counter[str]) -> str:
    each = ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
    return f"{names.total()} ({each})" if each else "nobody"
