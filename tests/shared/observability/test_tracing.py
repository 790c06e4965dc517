"""W3C Trace Context."""

import pytest

from shared.observability.tracing import begin_span

TRACE_ID, SPAN_ID = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_span_continues_the_trace_it_is_given() -> None:
    span = begin_span(f"00-{TRACE_ID}-{SPAN_ID}-00")
    assert (span.trace_id, span.parent_id, span.flags) == (TRACE_ID, SPAN_ID, "00")
    assert span.traceparent == f"00-{TRACE_ID}-{span.span_id}-00"
    assert span.span_id != SPAN_ID


def test_later_versions_may_say_more() -> None:
    assert begin_span(f"01-{TRACE_ID}-{SPAN_ID}-01-more").trace_id == TRACE_ID


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "",
        "rubbish",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        f"ff-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID.upper()}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-01-more",
        f"00-{TRACE_ID}-{SPAN_ID}",
    ],
)
def test_anything_else_starts_a_new_trace(bad: str | None) -> None:
    span = begin_span(bad)
    assert span.trace_id != TRACE_ID
    assert span.parent_id == ""
    assert len(span.trace_id) == 32
