import pytest

from shared.text import is_printable, tidy, tidy_name


def test_equal_looking_text_is_equal() -> None:
    assert tidy("e\u0301") == "\u00e9"
    assert tidy_name("  e\u0301 \n") == "\u00e9"


@pytest.mark.parametrize("text", ["a\x00b", "a\nb", "a\x7fb", "a\u2028b", "a\u2029b", "a\ud800b", "a\x85b"])
def test_what_cannot_be_shown(text: str) -> None:
    assert not is_printable(text)


def test_what_can() -> None:
    assert is_printable("")
    assert is_printable("Tea, té, 차 🍵")
    assert is_printable("two\nlines", "\n")
    assert not is_printable("two\nlines\t", "\n")
