"""Background tasks are kept, named, and their failures are seen."""

import asyncio

import pytest

from shared.tasks import background, cancel, spawn


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
