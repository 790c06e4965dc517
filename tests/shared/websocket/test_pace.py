import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.websocket.pace import Pace, Rate

RATE = Rate(per_second=50, burst=100)


def allowed(pace: Pace, count: int, now: float) -> int:
    """How many of `count` at once are let through."""
    return sum(pace.allows(now) for _ in range(count))


def test_a_burst_and_then_so_many_a_second() -> None:
    pace = Pace(RATE, 1000.0)
    assert allowed(pace, 150, 1000.0) == 100
    assert allowed(pace, 150, 1001.0) == 50
    assert allowed(pace, 150, 1001.5) == 25


def test_who_says_nothing_saves_up_no_more_than_a_burst() -> None:
    pace = Pace(RATE, 0.0)
    assert allowed(pace, 10, 0.0) == 10
    assert allowed(pace, 200, 3600.0) == 100


def test_what_was_refused_is_not_counted() -> None:
    pace = Pace(Rate(1, 1), 0.0)
    assert allowed(pace, 5, 0.0) == 1
    assert allowed(pace, 5, 1.0) == 1


def test_at_the_rate_it_goes_on_for_ever() -> None:
    pace = Pace(Rate(64, 1), 0.0)
    assert all(pace.allows(number / 64) for number in range(1000))


@pytest.mark.parametrize("now", [0.0, 5.0])
def test_no_limit(now: float) -> None:
    assert allowed(Pace(Rate(0, 0), 0.0), 1000, now) == 1000


@settings(max_examples=50)
@given(st.lists(st.integers(0, 500), max_size=30))
def test_never_more_than_the_burst_and_the_rate(pauses: list[int]) -> None:
    """Pauses in units of 1/64 s, which floating-point numbers add up without an error."""
    pace, now, let_through = Pace(Rate(8, 4), 0.0), 0, 0
    for pause in pauses:
        now += pause
        let_through += allowed(pace, 3, now / 64)
        assert let_through <= 4 + now / 8
