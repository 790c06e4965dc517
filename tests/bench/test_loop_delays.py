from math import inf

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from bench.loop_delays import METRIC, Buckets, between, read_buckets


def buckets_of(*delays: float) -> Buckets:
    """As a process that has measured `delays` shows them."""
    registry = CollectorRegistry()
    histogram = Histogram(
        METRIC, "As in shared.observability", buckets=(0.001, 0.005, 0.01), registry=registry
    )
    for delay in delays:
        histogram.observe(delay)
    return read_buckets(generate_latest(registry).decode())


def test_what_came_in_between_counts() -> None:
    earlier = (0.0001, 0.2)
    delays = between(buckets_of(*earlier), buckets_of(*earlier, 0.0002, 0.003, 0.004))
    assert delays.counts == {0.001: 1, 0.005: 2, 0.01: 0, inf: 0}
    assert delays.samples == 3
    assert delays.longest == (0.001, 0.005)
    assert (delays.above(0.001), delays.above(0.005)) == (2, 0)


def test_longer_than_the_last_bucket() -> None:
    delays = between(buckets_of(), buckets_of(0.5))
    assert delays.longest == (0.01, inf)
    assert delays.above(0.01) == 1


def test_nothing_measured() -> None:
    delays = between(buckets_of(0.5), buckets_of(0.5))
    assert (delays.samples, delays.longest) == (0, (0.0, 0.0))


def test_a_process_that_does_not_measure() -> None:
    with pytest.raises(LookupError, match=METRIC):
        read_buckets("# TYPE up gauge\nup 1\n")
