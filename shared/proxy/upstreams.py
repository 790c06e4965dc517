"""Several targets behind one name: who gets the next request, and who is left alone for a while (pure).

The least busy target wins; equals take turns. A target that could not be reached is ejected for a second,
doubling while it stays away. When the time is over, one request tries it and the others still go
elsewhere until that one has been answered. When all are ejected, the one whose time is over soonest is tried
all the same: passing an error on is better than inventing one.
"""

from collections.abc import Collection, Sequence

FIRST_EJECTION_SECONDS = 1.0
LONGEST_EJECTION_SECONDS = 30.0


class Target:
    """One address of an upstream, as an origin: `http://host:port`."""

    __slots__ = ("_failures", "ejected_until", "in_flight", "origin")

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.in_flight = 0
        self.ejected_until = 0.0  # on the clock of whoever calls
        self._failures = 0

    @property
    def is_on_trial(self) -> bool:
        """True from the first failure until the next answer."""
        return self._failures > 0

    def failed(self, now: float) -> None:
        """It could not be reached."""
        self._failures = min(self._failures + 1, 32)
        self.eject(now)

    def answered(self) -> None:
        """It was reached."""
        self._failures = 0
        self.ejected_until = 0.0

    def eject(self, now: float) -> None:
        """Leave it alone for as long as its failures suggest."""
        seconds = FIRST_EJECTION_SECONDS * 2 ** max(0, self._failures - 1)
        self.ejected_until = now + min(seconds, LONGEST_EJECTION_SECONDS)

    def __repr__(self) -> str:
        return f"<Target {self.origin} in_flight={self.in_flight} ejected_until={self.ejected_until:g}>"


class Upstream:
    """A name from `[upstream.NAME]` and its targets."""

    def __init__(self, name: str, origins: Sequence[str]) -> None:
        self.name = name
        self.targets = tuple(Target(origin) for origin in origins)
        self._turn = 0

    def choose(self, now: float, tried: Collection[Target] = ()) -> Target | None:
        """The target for the next request, or for another try after `tried`; None when none is left."""
        if len(self.targets) == 1:
            return None if tried else self.targets[0]
        self._turn = (self._turn + 1) % len(self.targets)
        in_turn = self.targets[self._turn :] + self.targets[: self._turn]
        left = [target for target in in_turn if target not in tried]
        well = [target for target in left if target.ejected_until <= now]
        if not well:
            return min(left, key=_ejected_until, default=None)
        chosen = min(well, key=_in_flight)
        if chosen.is_on_trial:
            chosen.eject(now)
        return chosen


def _ejected_until(target: Target) -> float:
    return target.ejected_until


def _in_flight(target: Target) -> int:
    return target.in_flight
