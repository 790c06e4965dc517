"""Who is in a room, on whichever gateway, and what of it is announced. Pure: no I/O, no clock.

Every gateway process reports its own users of a room to a store and sees there everybody's. An entry of the
store is one user on one gateway and expires unless it is renewed. So a user is in the room as long as there
is one such entry, a killed gateway's users vanish, and leaving means no more than: expire after the grace.
A reconnect within the grace, on whichever gateway, makes an entry that lives on, and nobody hears of it.

What is announced is the difference between what was announced before and what is seen now: so nothing is told
twice, and a join and a leave between two looks cancel out.

In a room with more members than the bound, presence is off: everybody's coming and going, told to everybody,
grows with the square of their number. Nor does a process report more users than prove that it is off.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import islice
from typing import Protocol

MEMBERS_AT_MOST = 200  # distinct users in a room that has presence


@dataclass(frozen=True, slots=True)
class Terms:
    """How long an entry lives, and how many users of a room count."""

    life_seconds: float  # from the last report that the user is here
    grace_seconds: float  # from the report that the user is gone
    members_at_most: int


@dataclass(frozen=True, slots=True)
class Report:
    """What a process tells the store of a room: its users `here`, and those `gone` since the last report."""

    room_id: str
    here: tuple[str, ...]
    gone: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sight:
    """What the store shows of a room, right after a report."""

    users: frozenset[str]  # on any gateway; one more than the bound stands for any larger number
    seconds: float  # until the first entry expires, if it is not renewed
    added: int  # how many of those reported `here` the store did not hold


@dataclass(frozen=True, slots=True)
class Change:
    """What is announced to a room: user ids, sorted."""

    joined: tuple[str, ...]
    left: tuple[str, ...]


class PresenceStore(Protocol):
    """Where the processes meet. Both methods raise Unavailable when the store does not answer."""

    async def exchange(self, reports: Sequence[Report], terms: Terms) -> Sequence[Sight]:
        """Make the reports and return what each one's room then looks like, in the same order."""

    async def listen(self, nudged: Callable[[str], None]) -> None:
        """Call `nudged` with the id of each room that some process has changed; ends only by an error."""


def difference(announced: frozenset[str], present: frozenset[str]) -> Change | None:
    """What turns `announced` into `present`; None when that is nothing."""
    if announced == present:
        return None
    return Change(tuple(sorted(present - announced)), tuple(sorted(announced - present)))


class Room:
    """One room as this process has it: who is connected here, what the store was told, what was announced."""

    def __init__(self, room_id: str, members_at_most: int = MEMBERS_AT_MOST) -> None:
        self.room_id = room_id
        self.announced: frozenset[str] | None = None  # None: not known yet, or presence is off
        self._members_at_most = members_at_most
        self._connections: Counter[str] = Counter()  # by user, in the order of their coming; none is 0
        self._reported: frozenset[str] = frozenset()  # users here of whom the store has confirmed to know

    @property
    def has_users(self) -> bool:
        """Whether anybody is connected here."""
        return bool(self._connections)

    @property
    def is_over(self) -> bool:
        """Whether nobody is here, and there is nobody whom the store would have to be told to be gone."""
        return not self._connections and not self._reported

    def entered(self, user_id: str) -> bool:
        """One more connection; whether it is the user's first."""
        self._connections[user_id] += 1
        return self._connections[user_id] == 1

    def left(self, user_id: str) -> bool:
        """One connection less; whether it was the user's last. Who is not here cannot leave."""
        if user_id not in self._connections:
            return False
        self._connections[user_id] -= 1
        if self._connections[user_id]:
            return False
        del self._connections[user_id]
        return True

    def report(self) -> Report:
        """What the store is to be told now."""
        here = tuple(islice(self._connections, self._members_at_most + 1))
        return Report(self.room_id, here, tuple(self._reported.difference(here)))

    def farewell(self) -> Report:
        """The report that everybody is gone, whoever is still connected."""
        return Report(self.room_id, (), tuple(self._reported))

    def confirmed(self, report: Report, sight: Sight) -> bool:
        """The store has taken `report`; False when it did not know any more what it was told before."""
        news = len(set(report.here) - self._reported)
        self._reported = frozenset(report.here)
        return sight.added <= news

    def announce(self, users: frozenset[str]) -> Change | None:
        """What is to be announced now that `users` are in the room; None for nothing."""
        if len(users) > self._members_at_most:
            self.announced = None
            return None
        change = difference(self.announced or frozenset(), users)
        self.announced = users
        return change


class Agenda:
    """When each room is looked at next: once asked for, but not twice within `pace_seconds`; and when nobody
    asks, `renew_seconds` after the last look. Times are seconds of whatever clock the caller reads.
    """

    def __init__(self, pace_seconds: float, renew_seconds: float) -> None:
        self._pace_seconds = pace_seconds
        self._renew_seconds = renew_seconds
        self._last: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._queue: list[tuple[float, str]] = []  # a heap; what differs from `_due` counts no more

    def ask(self, room_id: str, when: float) -> None:
        """Have the room looked at at `when`, or as soon after as its pace allows."""
        when = max(when, self._last.get(room_id, -math.inf) + self._pace_seconds)
        if when < self._due.get(room_id, math.inf):
            self._due[room_id] = when
            heappush(self._queue, (when, room_id))

    def next(self) -> float:
        """When the first look is due; infinite when none is."""
        while self._queue and self._due.get(self._queue[0][1]) != self._queue[0][0]:
            heappop(self._queue)
        return self._queue[0][0] if self._queue else math.inf

    def take(self, now: float, at_most: int) -> list[str]:
        """The rooms to be looked at now, those that have waited longest first."""
        taken: list[str] = []
        while len(taken) < at_most and self.next() <= now:
            _, room_id = heappop(self._queue)
            del self._due[room_id]
            self._last[room_id] = now
            taken.append(room_id)
        for room_id in taken:
            self.ask(room_id, now + self._renew_seconds)
        return taken

    def forget(self, room_id: str) -> None:
        """Nobody looks at the room any more."""
        self._last.pop(room_id, None)
        self._due.pop(room_id, None)
