"""The one place that spawns tasks: each has a name, is kept until it ends, and its failure is logged."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")

CANCEL_AGAIN_SECONDS = 1.0  # longer than any clean-up of ours takes

_log = logging.getLogger(__name__)
_kept: set[asyncio.Task[Any]] = set()  # the event loop itself holds tasks only weakly


def spawn(work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
    """Start `work` in the background."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _kept.add(task)
    task.add_done_callback(_ended)
    return task


async def cancel(*tasks: asyncio.Task[Any]) -> None:
    """End `tasks` and wait until all have left; their own failures have been logged already.

    They are told again while they stay: until Python 3.12, `asyncio.wait_for` (which client libraries use)
    loses a cancellation that comes in the instant its work completes (CPython issue 86296). For that reason
    the caller may be told again, too, while it waits here: it is cancelled once all have left.
    """
    interruption: asyncio.CancelledError | None = None
    while staying := [task for task in tasks if not task.done()]:
        for task in staying:
            task.cancel()
        try:
            await asyncio.wait(staying, timeout=CANCEL_AGAIN_SECONDS)
        except asyncio.CancelledError as told:
            interruption = told
    if interruption is not None:
        raise interruption


@asynccontextmanager
async def background(work: Coroutine[Any, Any, Any], name: str) -> AsyncIterator[asyncio.Task[Any]]:
    """`work` runs for as long as the block does."""
    task = spawn(work, name)
    try:
        yield task
    finally:
        await cancel(task)


async def together(*works: Coroutine[Any, Any, Any]) -> None:
    """Do all of `works` until one fails: the others are cancelled and waited for, and its failure raised."""
    if not works:
        return
    tasks = [asyncio.get_running_loop().create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await cancel(*tasks)
    for task in done:
        task.result()


def _ended(task: asyncio.Task[Any]) -> None:
    _kept.discard(task)
    if not task.cancelled() and task.exception() is not None:
        _log.error("task failed", extra={"task": task.get_name()}, exc_info=task.exception())
