"""What the operator's commands print cannot be obeyed by a terminal."""

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from scripts.support.admin.text import shown, table


def test_what_a_terminal_would_obey_is_escaped() -> None:
    assert shown("\x1b]0;title\x07") == r"\x1b]0;title\x07"
    assert shown("one\r\ntwo\u2028") == r"one\r\ntwo\u2028"
    assert shown("abc\u202ecba\u200b\x9b1m") == r"abc\u202ecba\u200b\x9b1m"
    assert shown("café 김철수 🙂 C:\\x") == "café 김철수 🙂 C:\\x"


@given(st.text())
def test_nothing_but_what_can_be_seen_is_left(text: str) -> None:
    assert all(unicodedata.category(character)[0] != "C" for character in shown(text))
    assert len(shown(text).splitlines()) <= 1


def test_columns_are_as_wide_as_they_look() -> None:
    rows = [("김철수", "x"), ("Ann", "y\n"), ("e\N{COMBINING ACUTE ACCENT}", "")]
    assert table(("NAME", "Y"), rows) == "\n".join(
        ["NAME    Y", "김철수  x", r"Ann     y\n", "e\N{COMBINING ACUTE ACCENT}"]
    )


def test_a_table_without_rows_is_its_heads() -> None:
    assert table(("A", "B"), []) == "A  B"
