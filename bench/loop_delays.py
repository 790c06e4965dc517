"""How long a process's event loop was held up between two looks at its /metrics. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

from prometheus_client.parser import text_string_to_metric_families

METRIC = "event_loop_delay_seconds"
Buckets = Mapping[float, float]  # upper bound in seconds → delays up to that, since the process started


@dataclass(frozen=True, slots=True)
class LoopDelays:
    """What was measured: `counts[bound]` delays lay between the bound below and `bound` (seconds)."""

    counts: Mapping[float, int]

    @property
    def samples(self) -> int:
        """How many delays were measured."""
        return sum(self.counts.values())

    @property
    def longest(self) -> tuple[float, float]:
        """The bucket of the longest one, in seconds: more than the first, at most the second."""
        bounds = [0.0, *sorted(self.counts)]
        return max((pair for pair in pairwise(bounds) if self.counts[pair[1]]), default=(0.0, 0.0))

    def above(self, seconds: float) -> int:
        """How many were longer than `seconds`, which is one of the bounds."""
        return sum(count for bound, count in self.counts.items() if bound > seconds)


def read_buckets(exposition: str) -> Buckets:
    """From the text of /metrics. Raises LookupError when the process does not measure its loop's delay."""
    for family in text_string_to_metric_families(exposition):
        if family.name == METRIC:
            buckets = (sample for sample in family.samples if sample.name == f"{METRIC}_bucket")
            return {float(sample.labels["le"]): sample.value for sample in buckets}
    raise LookupError(f"/metrics has no {METRIC}")


def between(before: Buckets, after: Buckets) -> LoopDelays:
    """What came to `before` until it was `after`."""
    added = {bound: after[bound] - before[bound] for bound in sorted(after)}
    up_to = pairwise([(0.0, 0.0), *added.items()])
    return LoopDelays({bound: round(count - below) for (_, below), (bound, count) in up_to})
