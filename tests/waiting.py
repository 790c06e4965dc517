"""Waiting for a condition instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable

POLL_SECONDS = 0.05
QUICK_POLL_SECONDS = 0.002  # where the process waits for itself


def until(
    condition: Callable[[], object], seconds: float, what: str, details: Callable[[], str] = str
) -> None:
    """Return when `condition` holds; AssertionError with `what` and `details` if not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}\n{details()}"
        time.sleep(POLL_SECONDS)


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """As `until`, on the event loop: TimeoutError if not within `seconds`. `condition` may be awaitable."""
    async with asyncio.timeout(seconds):
        while not await _holds(condition):  # noqa: ASYNC110 - it may depend on anything
            await asyncio.sleep(QUICK_POLL_SECONDS)


async def _holds(condition: Callable[[], object]) -> object:
    result = condition()
    return await result if inspect.isawaitable(result) else result
