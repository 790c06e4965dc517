import asyncio
from contextlib import suppress

import pytest

from shared import duties
from shared.duties import Duty, keep_up, repeatedly
from shared.errors import Unavailable
from shared.tasks import background
from tests.waiting import eventually


async def test_no_failure_ends_a_duty(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(duties, "RETRY_SECONDS", 0.001)
    outcomes = [None, Unavailable("away"), Unavailable("away"), ZeroDivisionError(), None]
    done = asyncio.Event()

    async def work() -> None:
        if not outcomes:
            done.set()
            return
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    with caplog.at_level("INFO"):
        async with background(repeatedly(Duty("test", work, 0.001)), "test"), asyncio.timeout(5):
            await done.wait()
    messages = [record.getMessage() for record in caplog.records if record.name == duties.__name__]
    assert messages == ["upkeep fails", "fails unexpectedly", "upkeep fails", "upkeep works again"]


async def test_duties_begin_once_what_they_need_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duties, "RETRY_SECONDS", 0.001)
    is_ready = asyncio.Event()
    done: list[str] = []

    async def fail() -> None:
        done.append("fails")
        raise ZeroDivisionError

    async def succeed() -> None:
        done.append("succeeds")

    both = [Duty("one", fail, 0.001), Duty("other", succeed, 0.001)]
    async with background(keep_up(is_ready.wait, both), "upkeep") as upkeep:
        await asyncio.wait([upkeep], timeout=0.05)  # time enough for what should not happen
        assert done == []
        is_ready.set()
        await eventually(lambda: done.count("fails") > 2 and done.count("succeeds") > 2)
        assert not upkeep.done()
    assert upkeep.cancelled()


async def test_what_cannot_get_ready_is_no_failure_of_a_duty(caplog: pytest.LogCaptureFixture) -> None:
    async def never() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        raise AssertionError("nothing is ready")

    with pytest.raises(ZeroDivisionError):
        await keep_up(never, [Duty("one", work, 0.001)])
    assert caplog.records == []


async def test_no_duties_are_no_work() -> None:
    is_ready = asyncio.Event()
    is_ready.set()
    async with asyncio.timeout(5):
        await keep_up(is_ready.wait, [])


async def test_no_duty_stays_when_one_loses_its_cancellation() -> None:
    """As client libraries lose it until Python 3.12 (CPython issue 86296)."""
    is_busy, ended = asyncio.Event(), []

    async def deaf_once() -> None:
        is_busy.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("deaf once")

    async def nothing() -> None:
        pass

    async with background(keep_up(nothing, [Duty("a", deaf_once, 60), Duty("b", nothing, 60)]), "upkeep"):
        await is_busy.wait()
    assert ended == ["deaf once"]
