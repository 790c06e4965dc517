from bench.table import milliseconds, table


def test_columns_line_up() -> None:
    assert table(["call", "ms"], [["`/a`", "1.25"], ["", "13.00"]]).splitlines() == [
        "| call |    ms |",
        "|------|------:|",
        "| `/a` |  1.25 |",
        "|      | 13.00 |",
    ]


def test_milliseconds() -> None:
    assert [milliseconds(seconds) for seconds in (0.00125, 0.0999, 1.5)] == ["1.25", "99.90", "1500"]
