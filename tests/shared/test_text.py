import sys
import unicodedata

import pytest

from shared.text import MAX_MARKS_IN_A_ROW, is_printable, tidy, tidy_name


def test_equal_looking_text_is_equal() -> None:
    assert tidy("e\u0301") == "\u00e9"
    assert tidy_name("  e\u0301 \n") == "\u00e9"


def test_marks_in_a_row_are_put_in_order_as_long_as_that_takes_no_time() -> None:
    assert tidy("e" + "\u0301" * MAX_MARKS_IN_A_ROW) == "\u00e9" + "\u0301" * (MAX_MARKS_IN_A_ROW - 1)
    endless = "e" + "\u0301\u0316" * 250_000
    assert tidy(endless) == endless


def test_nothing_that_becomes_a_mark_goes_uncounted() -> None:
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            text = "a" + character * (MAX_MARKS_IN_A_ROW + 1)
            assert tidy(text) == text


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x7fb", "a\u2028b", "a\u2029b", "a\ud800b", "a\x85b"])
def test_what_cannot_be_shown(text: str) -> None:
    assert not is_printable(text)


def test_what_can() -> None:
    assert is_printable("")
    assert is_printable("Tea, té, 차 🍵")
    assert is_printable("two\nlines", "\n")
    assert not is_printable("two\nlines\t", "\n")
