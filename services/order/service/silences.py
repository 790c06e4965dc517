"""Who does not answer, so that nobody waits for them with everything they have (a bulkhead).

A call to a participant that is frozen takes all the time that a call may take. With all workers waiting for
it, nothing else would move, not even what does without it.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from shared.errors import Unavailable

SILENT_SECONDS = 0.5  # without an answer; far longer than one takes
MOST_SILENT = 8  # calls at once that have been waiting for so long: enough to notice that somebody is back


class Silences:
    """All calls that are under way, by whom they ask."""

    def __init__(self) -> None:
        self._asked_at: defaultdict[str, dict[object, float]] = defaultdict(dict)

    @contextmanager
    def asking(self, whom: str) -> Iterator[None]:
        """`whom` is called in the block. Raises Unavailable instead, while too many wait for them already."""
        asked_at, call = self._asked_at[whom], object()
        silent_since = time.monotonic() - SILENT_SECONDS
        if sum(at < silent_since for at in asked_at.values()) >= MOST_SILENT:
            raise Unavailable(f"The {whom} service leaves other calls unanswered.")
        asked_at[call] = time.monotonic()
        try:
            yield
        finally:
            del asked_at[call]
