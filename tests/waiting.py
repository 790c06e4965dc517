"""Waiting for a condition instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Callable
from contextlib import suppress

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


def kept_once(promise: Callable[[], None], tries: int = 3) -> None:
    """Return when `promise` has held once; its AssertionError when it has not in so many `tries`.

    For promises about time: a busy machine breaks one now and then, a fault breaks it every time.
    """
    for _ in range(tries - 1):
        with suppress(AssertionError):
            return promise()
    return promise()


async def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """As `until`, on the event loop: TimeoutError if not within `seconds`. `condition` may be awaitable.

    The last look is after the deadline: the whole process may have stood still until then.
    """
    deadline = time.monotonic() + seconds
    async with asyncio.timeout(2 * seconds):  # for a condition that itself waits for ever
        while not await _holds(condition):
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {seconds:g} s")
            await asyncio.sleep(QUICK_POLL_SECONDS)


async def _holds(condition: Callable[[], object]) -> object:
    result = condition()
    return await result if inspect.isawaitable(result) else result
