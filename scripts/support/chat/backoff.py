"""How long a client waits before it connects again: longer each time, and never all clients at once. Pure."""

import json
import random
from collections.abc import Callable

FIRST_SECONDS, LAST_SECONDS = 0.5, 20.0  # doubling
GOING_AWAY = 1001  # the server drains, and says when to come back


class Backoff:
    """Pauses between attempts. `chance` gives a number from 0 to 1."""

    def __init__(self, chance: Callable[[], float] = random.random) -> None:
        self._chance = chance
        self._pause = FIRST_SECONDS

    def next(self, least: float = 0.0) -> float:
        """Seconds; half of them are left to chance. `least` is what the server has asked for."""
        pause, self._pause = self._pause, min(2 * self._pause, LAST_SECONDS)
        return least + pause * (1 + self._chance()) / 2

    def reset(self) -> None:
        """It has worked: the next pause is short again."""
        self._pause = FIRST_SECONDS


def announced_pause(code: int, reason: str) -> float | None:
    """The seconds that a server which drains has given this client, in the reason of its close frame.

    None when it has given none. Servers give each client another time, so nothing is left to chance.
    """
    try:
        pause = json.loads(reason)["reconnect_in_ms"] / 1000 if code == GOING_AWAY else None
    except (ValueError, TypeError, KeyError):
        return None
    return pause if pause is not None and 0 <= pause <= LAST_SECONDS else None
