"""Arming the crash points of a running system: the other side of shared/crash_points.py."""

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.crash_points import SETTING

AT_ONCE = 5  # points that are armed, as a rule
POLL_SECONDS = 0.02
PATIENCE_SECONDS = 1.0  # then one more is armed: of those that are, none may be passed soon


class CrashPoints:
    """A folder, and the setting by which a system's processes look into it."""

    def __init__(self, folder: Path) -> None:
        self.setting: Mapping[str, str] = {SETTING: str(folder)}
        self._armed, self._passed = folder / "armed", folder / "passed"
        for each in (self._armed, self._passed):
            each.mkdir(parents=True)

    def arm(self, name: str) -> None:
        """Whoever passes it next dies there."""
        (self._armed / name).touch()

    def disarm(self, name: str) -> bool:
        """Nobody shall die there any more. True if somebody has."""
        try:
            (self._armed / name).unlink()
        except FileNotFoundError:
            return True
        return False

    def armed(self) -> set[str]:
        """Those where nobody has died yet."""
        return {path.name for path in self._armed.iterdir()}

    def passed(self) -> set[str]:
        """Those that there are, as far as anybody has come by."""
        return {path.name for path in self._passed.iterdir()}


class Visits:
    """A process dies once at each point: at those `required`, and at all others that are passed meanwhile."""

    def __init__(self, points: CrashPoints, required: Sequence[str]) -> None:
        self._points = points
        self._known = set(required)
        self._waiting = deque(required)
        self._armed = set[str]()
        self._changed_at = time.monotonic()
        self.visited: list[str] = []

    async def make(self, seconds: float) -> None:
        """Return when all have been visited. AssertionError if that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while self._waiting or self._armed:
            assert time.monotonic() < deadline, f"not all visited within {seconds:g} s: {self}"
            self._note_new()
            self._note_deaths()
            is_quiet = time.monotonic() - self._changed_at > PATIENCE_SECONDS
            if self._waiting and (is_quiet or len(self._armed) < AT_ONCE):
                self._arm(self._waiting.popleft())
            await asyncio.sleep(POLL_SECONDS)

    def _note_new(self) -> None:
        found = sorted(self._points.passed() - self._known)
        self._known.update(found)
        self._waiting.extend(found)

    def _note_deaths(self) -> None:
        if gone := self._armed - self._points.armed():
            self.visited.extend(gone)
            self._armed -= gone
            self._changed_at = time.monotonic()

    def _arm(self, name: str) -> None:
        self._armed.add(name)
        self._points.arm(name)
        self._changed_at = time.monotonic()

    def __str__(self) -> str:
        return f"{len(self.visited)} visited, {sorted(self._armed)} armed, {list(self._waiting)} waiting"
