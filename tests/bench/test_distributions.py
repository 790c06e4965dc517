from statistics import quantiles

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.distributions import exceedance, quantile

durations = st.lists(st.integers(0, 20), min_size=2, max_size=40)  # small numbers: many ties


@given(durations)
def test_quantiles_are_those_of_the_standard_library(values: list[int]) -> None:
    expected = quantiles(values, n=100, method="inclusive")
    assert [quantile(values, share / 100) for share in range(1, 100)] == pytest.approx(expected)
    assert (quantile(values, 0), quantile(values, 1)) == (min(values), max(values))


def test_the_only_value_is_every_quantile() -> None:
    assert [quantile([3.0], share) for share in (0, 0.5, 1)] == [3.0, 3.0, 3.0]


@given(durations, durations)
def test_the_probability_is_the_share_of_pairs(these: list[int], those: list[int]) -> None:
    won = sum((a > b) + (a == b) / 2 for a in these for b in those)
    assert exceedance(these, those).probability == pytest.approx(won / len(these) / len(those))
    assert exceedance(those, these).probability == pytest.approx(1 - won / len(these) / len(those))


def test_the_standard_error_is_that_of_the_rank_sum() -> None:
    """Mann and Whitney, 1947: U of n and m values without ties has the variance n·m·(n + m + 1) / 12."""
    chance = exceedance(range(0, 20, 2), range(1, 31, 2))
    assert chance.standard_error == pytest.approx((10 * 15 * 26 / 12) ** 0.5 / 150)


def test_ties_make_it_smaller() -> None:
    """Of the six, four are equal: 3·3·(7 - (4³ - 4) / (6·5)) / 12 = 3.75, over 9 pairs."""
    assert exceedance([1, 2, 2], [2, 2, 3]).standard_error == pytest.approx(3.75**0.5 / 9)


def test_what_is_the_same_tells_nothing() -> None:
    assert not exceedance([5.0] * 9, [5.0] * 9).tells
    assert not exceedance(range(1000), range(1000)).tells


@pytest.mark.parametrize("shift", [60, -60])
def test_a_shift_beyond_chance_tells(shift: int) -> None:
    those = range(300)
    assert exceedance([each + shift for each in those], those).tells
    assert not exceedance([each + shift / 10 for each in those], those).tells


def test_nothing_has_no_distribution() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
    with pytest.raises(ValueError, match="no values"):
        exceedance([1.0], [])
