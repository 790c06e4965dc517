import asyncio

import pytest

from shared import duties
from shared.duties import Duty, repeatedly
from shared.errors import Unavailable
from shared.tasks import background


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
    assert messages == ["upkeep fails", "upkeep fails unexpectedly", "upkeep fails", "upkeep works again"]
