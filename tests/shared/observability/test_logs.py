"""Log lines."""

import io
import json
import logging

import pytest

from shared import context
from shared.observability import logs


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    assert logs.timestamp(0) == "1970-01-01T00:00:00.000Z"
    assert logs.timestamp(1_700_000_000.9996) == "2023-11-14T22:13:20.999Z"


def test_lines_are_written_at_once_without_a_loop() -> None:
    output = io.StringIO()
    logs.Lines(output).write("one")
    assert output.getvalue() == "one\n"


async def test_lines_wait_for_company_but_not_for_long() -> None:
    output = io.StringIO()
    lines = logs.Lines(output)
    lines.write("one")
    lines.write("two")
    assert output.getvalue() == ""
    lines.write("x" * logs.FLUSH_CHARACTERS)
    assert output.getvalue().startswith("one\ntwo\nxxx")


def test_records_become_json_with_their_context(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    output = io.StringIO()
    monkeypatch.setattr(logs, "lines", logs.Lines(output))
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    context.request_id.set("r-1")
    try:
        logs.configure()
        logging.getLogger("some.module").warning("it %s", "happened", extra={"count": 3})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(capture=False)
        context.request_id.set("")
    entry = json.loads(output.getvalue())
    assert entry.pop("time").endswith("Z")
    assert entry == {
        "level": "warning",
        "logger": "some.module",
        "message": "it happened",
        "request_id": "r-1",
        "count": 3,
    }
