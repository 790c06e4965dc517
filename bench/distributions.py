"""What samples of durations say, alone and about each other. Pure."""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

STANDARD_ERRORS = 3.0  # chance alone goes further once in 370 comparisons


@dataclass(frozen=True, slots=True)
class Exceedance:
    """How likely one of these takes longer than one of those: 0 never, 1 always, 0.5 tells nothing."""

    probability: float
    standard_error: float  # of the probability, if in truth nothing can be told

    @property
    def tells(self) -> bool:
        """Whether it is further from 0.5 than chance explains."""
        return abs(self.probability - 0.5) > STANDARD_ERRORS * self.standard_error


def quantile(values: Sequence[float], share: float) -> float:
    """Below it lies `share` (0 to 1) of `values`; between two of them it is interpolated.

    Raises ValueError when there are none.
    """
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    below, part = divmod(share * (len(ordered) - 1), 1)
    lower, upper = ordered[int(below)], ordered[min(int(below) + 1, len(ordered) - 1)]
    return lower + part * (upper - lower)


def exceedance(these: Sequence[float], those: Sequence[float]) -> Exceedance:
    """The Mann-Whitney U of `these` over `those` as a share of all pairs: the area under the ROC curve.

    It compares ranks, so one very slow answer weighs no more than any other. A tie counts half. Raises
    ValueError when either is empty.
    """
    pairs = len(these) * len(those)
    if not pairs:
        raise ValueError("no values")
    ordered = sorted(those)
    longer = sum((bisect_left(ordered, each) + bisect_right(ordered, each)) / 2 for each in these)
    return Exceedance(longer / pairs, _standard_error(these, those))


def _standard_error(these: Sequence[float], those: Sequence[float]) -> float:
    """By the normal approximation, corrected for ties."""
    every = len(these) + len(those)
    tied = sum(times**3 - times for times in Counter([*these, *those]).values())
    return sqrt((every + 1 - tied / (every * (every - 1))) / (12 * len(these) * len(those)))
