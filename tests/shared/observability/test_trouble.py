import logging

import pytest

from shared.observability.trouble import Trouble


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
