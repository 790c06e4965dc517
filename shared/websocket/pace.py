"""How many frames a peer may send: a token bucket (pure; the time is passed in)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rate:
    """So many a second in the long run, and so many at once. 0 a second stands for any number."""

    per_second: float
    burst: float


class Pace:
    """What one peer has used of its `rate`."""

    __slots__ = ("_left", "_rate", "_since")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._left = rate.burst
        self._since = now

    def allows(self, now: float) -> bool:
        """Count one more at `now` (monotonic seconds). False when it is one too many."""
        rate = self._rate
        if not rate.per_second:
            return True
        self._left = min(rate.burst, self._left + (now - self._since) * rate.per_second)
        self._since = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
