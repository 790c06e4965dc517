"""Metrics as Prometheus reads them."""

from prometheus_client import REGISTRY, Counter
from prometheus_client.parser import text_string_to_metric_families

from shared.observability import metrics


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_requests_are_counted_by_kind_and_timed_by_route() -> None:
    got = metrics.ANSWERED.durations("/counted", "GET", "2xx")
    for seconds in (0.0001, 0.001, 0.0011, 60.0):
        got.add(seconds)
    metrics.ANSWERED.durations("/counted", "PUT", "5xx").add(0.3)

    assert sample("http_requests_total", route="/counted", method="GET", status_class="2xx") == 4
    assert sample("http_requests_total", route="/counted", method="PUT", status_class="5xx") == 1

    def within(bound: str) -> float | None:
        return sample("http_request_duration_seconds_bucket", route="/counted", le=bound)

    counts = {"0.001": 2, "0.0025": 3, "0.25": 3, "0.5": 4, "30.0": 4, "+Inf": 5}
    assert {bound: within(bound) for bound in counts} == counts
    assert sample("http_request_duration_seconds_count", route="/counted") == 5
    seconds_in_all = sample("http_request_duration_seconds_sum", route="/counted")
    assert seconds_in_all is not None
    assert abs(seconds_in_all - 60.3022) < 1e-9


def test_a_counter_has_its_series_before_it_counts() -> None:
    counter = Counter("test_refusals", "For this test", ["upstream", "reason"])
    metrics.start_at_zero(counter, ("a", "slow"), ("a", "gone"))
    assert sample("test_refusals_total", upstream="a", reason="slow") == 0
    counter.labels("a", "slow").inc()
    metrics.start_at_zero(counter, ("a", "slow"))
    assert sample("test_refusals_total", upstream="a", reason="slow") == 1
    assert sample("test_refusals_total", upstream="a", reason="gone") == 0


def test_the_exposition_can_be_read() -> None:
    metrics.ANSWERED.durations("/read", "GET", "2xx").add(0.1)
    exposition = metrics.exposition().decode()
    families = {family.name: family for family in text_string_to_metric_families(exposition)}
    assert families["http_requests"].type == "counter"
    latency = families["http_request_duration_seconds"]
    assert latency.type == "histogram"
    ours = [each.labels for each in latency.samples if each.labels["route"] == "/read"]
    assert {labels["le"] for labels in ours if "le" in labels} == {
        *(str(float(bound)) for bound in metrics.LATENCY_BUCKETS),
        "+Inf",
    }
