"""What the report shows."""

from scripts.support.load.report import Report
from scripts.support.load.witness import Told


def test_it_counts_and_names_what_must_not_be() -> None:
    report = Report(seconds=2.0, waits=[0.010, 0.020, 0.030])
    for order, status, reason in (
        ("a", "CONFIRMED", ""),
        ("b", "CANCELLED", "requested"),
        ("c", "PENDING", ""),
    ):
        report.witness.placed(f"key of {order}", Told(order, status, reason, {}, 0, 0.0, 1.0))
    report.witness.missed("b")
    assert not report.is_clean
    rows = [" ".join(line.split()) for line in str(report).splitlines()]
    assert "orders 3 in 2.0 s: 1.5 a second" in rows
    assert "CANCELLED requested 1" in rows
    assert "waited for the end 3: median 20 ms, p99 30 ms, longest 30 ms" in rows
    assert rows[-2:] == ["lost: b", "not final: c"]


def test_nothing_is_no_fault() -> None:
    assert Report().is_clean
