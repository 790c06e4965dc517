"""Pauses, and the end of trying."""

from hypothesis import given
from hypothesis import strategies as st

from shared.rpc.backoff import ATTEMPTS, may_try_again, pause_before


@given(st.integers(2, ATTEMPTS), st.floats(0, 1))
def test_pauses_double_and_are_drawn_from_their_whole_range(attempt: int, chance: float) -> None:
    assert 0 <= pause_before(attempt, chance) <= 0.05 * 2 ** (attempt - 2)


def test_what_may_not_happen_twice_is_sent_once() -> None:
    assert may_try_again(1, 0.05, 1.0, idempotent=True)
    assert not may_try_again(1, 0.05, 1.0, idempotent=False)


def test_there_is_an_end_to_trying() -> None:
    assert not may_try_again(ATTEMPTS, 0.05, 1.0, idempotent=True)
    assert not may_try_again(1, 0.05, 0.04, idempotent=True)
