import logging

import pytest

from shared.observability.trouble import IntermittentTrouble, Trouble


def test_only_changes_are_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    trouble = Trouble(logging.getLogger("test"), "fails", "works again", reason="not tried yet")
    trouble.is_now("not tried yet")
    trouble.is_now("refused")
    trouble.is_now("refused")
    trouble.is_now("no route", attempt=3)
    assert trouble.reason == "no route"
    trouble.is_over()
    trouble.is_over()
    assert trouble.reason == ""
    trouble.is_now("refused")
    said = [(each.getMessage(), vars(each).get("reason")) for each in caplog.records]
    assert said == [
        ("fails", "refused"),
        ("fails", "no route"),
        ("works again", None),
        ("fails", "refused"),
    ]
    assert vars(caplog.records[1])["attempt"] == 3


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_comes_and_goes_is_said_once_and_over_after_a_quiet_while(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    trouble = IntermittentTrouble(
        logging.getLogger("test"), "fails", "works again", quiet_seconds=5, clock=clock
    )
    trouble.worked()
    for reason in ("full", "full", "slow", "full"):
        trouble.failed(reason, detail="of this kind")
        trouble.worked()
        clock.now += 4.9
    trouble.worked()
    clock.now += 0.1
    trouble.worked()
    trouble.worked()
    trouble.failed("full")
    said = [
        (each.getMessage(), vars(each).get("reason"), vars(each).get("failures")) for each in caplog.records
    ]
    assert said == [
        ("fails", "full", None),
        ("fails", "slow", None),
        ("works again", None, 4),
        ("fails", "full", None),
    ]
    assert vars(caplog.records[0])["detail"] == "of this kind"
