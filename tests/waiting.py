"""Waiting for a condition instead of sleeping."""

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def until(
    condition: Callable[[], object], seconds: float, what: str, details: Callable[[], str] = str
) -> None:
    """Return when `condition` holds; AssertionError with `what` and `details` if not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{details()}"
        time.sleep(POLL_SECONDS)
