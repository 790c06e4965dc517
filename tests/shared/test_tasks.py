"""Background tasks are kept, named, and their failures are seen."""

import asyncio
from contextlib import suppress

import pytest

from shared import tasks
from shared.tasks import background, cancel, spawn, together


async def test_a_failure_is_logged_with_the_name_of_its_task(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("broken")

    await asyncio.wait([spawn(fail(), "the sweeper")])
    await asyncio.sleep(0)  # the loop calls back in its next round
    assert [record.__dict__["task"] for record in caplog.records] == ["the sweeper"]


async def test_cancelling_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    async with background(asyncio.sleep(60), "sleeper") as task:
        pass
    assert task.cancelled()
    await cancel(task)
    assert not caplog.records


async def test_together_ends_with_the_first_failure() -> None:
    ends: list[str] = []

    async def wait(name: str) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append(name)

    async def fail() -> None:
        raise ValueError("first")

    with pytest.raises(ValueError, match="first"):
        await together(wait("a"), fail(), wait("b"))
    assert ends == ["a", "b"]


async def test_together_ends_when_all_have_ended_or_it_is_cancelled() -> None:
    await together(asyncio.sleep(0), asyncio.sleep(0))
    ends: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("left")

    async with background(together(wait(), wait()), "together"):
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert ends == ["left", "left"]


async def test_together_leaves_nobody_behind_who_lost_the_first_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_AGAIN_SECONDS", 0.01)
    ends: list[str] = []

    async def lose_one() -> None:
        with suppress(asyncio.CancelledError):
            await asyncio.get_running_loop().create_future()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("left")

    async with background(together(lose_one(), lose_one()), "together") as task:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert ends == ["left", "left"]
    assert task.cancelled()
