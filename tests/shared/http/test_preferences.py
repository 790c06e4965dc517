"""`Prefer: wait`, RFC 7240: what can be understood, and everything else as if it had not been said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.preferences import wait_applied, wait_preference


@pytest.mark.parametrize(
    "prefer",
    [
        "wait=10",
        "WAIT=10",
        "Wait = 10",
        "wait\t=\t10",
        'wait="10"',
        "wait=010",
        "  wait=10  ",
        "respond-async, wait=10",
        "wait=10, respond-async",
        "wait=10,wait=20",
        ",, wait=10,",
        "wait=10; foo",
        'wait=10; foo="some, thing"; bar=1',
        'foo; bar="a, wait=20, \\", wait=30, b"; c, wait=10',
        'foo="wait=20, \\"wait=30", wait=10',
        'return=minimal; foo="wait=20", wait=10',
        "!#$%&'*+.^_`|~-=x, wait=10",
        "foo=, wait=10",
        'foo="", wait=10',
    ],
)
def test_a_wish_is_understood(prefer: str) -> None:
    assert wait_preference(prefer) == 10


@pytest.mark.parametrize(
    "prefer",
    [
        None,
        "",
        "  ",
        ",",
        "respond-async",
        "wait",
        "wait=",
        "wait=soon",
        "wait=-1",
        "wait=+1",
        "wait=1.5",
        "wait=1e3",
        "wait=1 0",
        "wait=10 seconds",
        "wait=\uff11\uff10",  # digits, but of another alphabet
        'wait="10',
        'wait=10"',
        "wait=" + "9" * 100,
        "waiting=10",
        "no-wait=10",
        "foo=wait=10",
        'foo="wait=10',
        'foo="wait=10"',
        "foo; wait=10",
        "foo bar wait=10",
        "foo bar, wait=10",
        'foo; bar="wait=10, wait=10',
        "(wait=10)",
        "wait=soon, wait=10",
        "wait, wait=10",
    ],
)
def test_anything_else_is_no_wish(prefer: str | None) -> None:
    assert wait_preference(prefer) is None


def test_zero_seconds_are_a_wish() -> None:
    assert wait_preference("wait=0") == 0


TEXTS = st.text() | st.text('wait=10 ,;"\\\t')


@given(TEXTS)
def test_nothing_that_a_client_sends_is_an_error(text: str) -> None:
    seconds = wait_preference(text)
    assert seconds is None or 0 <= seconds < 10**9


OTHERS = ("", "respond-async", "return=minimal", 'a="b, wait=1"', "a; wait=1", 'a="b"; c="d, wait=1"')


@given(st.lists(st.sampled_from(OTHERS)), st.integers(0, 99))
def test_other_preferences_do_not_matter(others: list[str], seconds: int) -> None:
    assert wait_preference(", ".join([*others, f"wait={seconds}"])) == seconds


def test_the_client_is_told_that_it_was_heard() -> None:
    assert wait_applied(10) == ("Preference-Applied", "wait=10")
