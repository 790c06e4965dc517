"""Every metric of the system, with its meaning: what an operator finds under /metrics.

Label values come from our own tables (route patterns, method names we know), never from a client, so that
their number stays bounded.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
LOOP_DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
REVOCATION_DELAY_BUCKETS = (*LATENCY_BUCKETS, 60)  # a store that was away may bring what is a minute old
_BOUNDS = (*(str(float(bound)) for bound in LATENCY_BUCKETS), "+Inf")


class Durations:
    """How long some requests took: how many fell into each bucket, and all their seconds together.

    The library's own histogram locks and loops; at every request that would cost more than the log line.
    """

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        """One more request, which took `seconds`."""
        self.buckets[bisect_left(LATENCY_BUCKETS, seconds)] += 1
        self.seconds += seconds


class _Answered(Collector):
    """The requests answered, by route, method and class of status; told to Prometheus when it asks."""

    def __init__(self) -> None:
        self._durations: defaultdict[tuple[str, str, str], Durations] = defaultdict(Durations)

    def durations(self, route: str, method: str, status_class: str) -> Durations:
        """Where requests of one kind are counted: to be kept by whoever counts them."""
        return self._durations[route, method, status_class]

    def describe(self) -> Iterable[Metric]:
        return [_requests_family(), _latency_family()]

    def collect(self) -> Iterator[Metric]:
        requests, latency = _requests_family(), _latency_family()
        routes: defaultdict[str, list[Durations]] = defaultdict(list)
        for labels, durations in self._durations.items():
            requests.add_metric(labels, sum(durations.buckets))
            routes[labels[0]].append(durations)
        for route, parts in routes.items():
            buckets = accumulate(map(sum, zip(*(part.buckets for part in parts), strict=True)))
            seconds = sum(part.seconds for part in parts)
            latency.add_metric([route], list(zip(_BOUNDS, buckets, strict=True)), seconds)
        yield requests
        yield latency


def _requests_family() -> CounterMetricFamily:
    labels = ["route", "method", "status_class"]
    return CounterMetricFamily("http_requests", "Requests answered", labels=labels)


def _latency_family() -> HistogramMetricFamily:
    meaning = "From head received to response sent"
    return HistogramMetricFamily("http_request_duration_seconds", meaning, labels=["route"])


ANSWERED = _Answered()
REGISTRY.register(ANSWERED)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered now")
CONNECTIONS = Gauge("http_server_connections", "Open client connections")
REFUSED = Counter("http_requests_refused", "Connections cut for what came instead of a request", ["status"])
PARSED_BY_H11 = Counter("http_heads_by_h11", "Heads that left the fast path", ["side"])
POOL_CONNECTIONS = Gauge("http_pool_connections", "Connections to an upstream", ["origin", "state"])
POOL_WAITING = Gauge("http_pool_waiting", "Requests waiting for an upstream connection", ["origin"])
UPSTREAM_FAILURES = Counter("upstream_failures", "Upstream attempts that failed", ["upstream", "reason"])
DATABASE_POOL = Gauge("database_pool", "PostgreSQL connections and waiting requests", ["state"])
TOKENS_VERIFIED = Counter("auth_tokens_verified", "Access tokens checked by their signature, not by memory")
TOKENS_REFUSED = Counter("auth_tokens_refused", "Access tokens refused", ["reason"])

EVENT_LOOP_DELAY = Histogram(
    "event_loop_delay_seconds",
    "How late the event loop wakes up who has slept: something else held it for so long",
    buckets=LOOP_DELAY_BUCKETS,
)

# What only some processes have: under /metrics from `show` or `expose` on, so that no zero stands for "there
# is none".
TOKENS_REMEMBERED = Gauge("auth_tokens_remembered", "Verified access tokens kept in memory", registry=None)
REVOCATION_AGE = Gauge(
    "revocation_mirror_age_seconds", "Time since the store's last sign of life", registry=None
)
REVOCATION_ENTRIES = Gauge("revocation_mirror_entries", "Revocations held in memory", registry=None)
REVOCATION_DELAY = Histogram(
    "revocation_delay_seconds",
    "From a revocation in the database to its effect in this gateway",
    buckets=REVOCATION_DELAY_BUCKETS,
    registry=None,
)
GUESSING_LOCKS = Counter(
    "auth_guessing_locks", "Who or what was locked after failed attempts", ["kind"], registry=None
)
GUESSES_REFUSED = Counter(
    "auth_guesses_refused", "Attempts refused because of such a lock", ["kind"], registry=None
)
WS_TICKETS_ISSUED = Counter("ws_tickets_issued", "One-time tickets for WebSockets", registry=None)
PASSWORD_HASHES = Gauge("bcrypt_hashes_running", "Password hashes being computed", registry=None)
PASSWORD_QUEUE = Gauge("bcrypt_queue", "Password hashes waiting for a core", registry=None)
RPC_ANSWERED = Histogram(
    "rpc_server_duration_seconds",
    "gRPC calls answered, from metadata received to response sent",
    ["method", "status"],
    buckets=LATENCY_BUCKETS,
    registry=None,
)
RPC_CALLED = Histogram(
    "rpc_client_duration_seconds",
    "gRPC calls made, each try of one that was tried again",
    ["method", "status"],
    buckets=LATENCY_BUCKETS,
    registry=None,
)
RPC_TRIED_AGAIN = Counter("rpc_client_retries", "gRPC calls that were tried again", ["method"], registry=None)
OUTBOX_ROWS = Gauge("outbox_rows", "Events in the outbox that are not published yet", registry=None)
OUTBOX_AGE = Gauge("outbox_oldest_seconds", "Age of the oldest of those; 0 without any", registry=None)
EVENTS_PUBLISHED = Counter("events_published", "Events put on the bus", ["topic"], registry=None)
PUBLISHING_DELAY = Histogram(
    "events_publishing_delay_seconds",
    "From an event's row in the outbox to the bus",
    buckets=LATENCY_BUCKETS,
    registry=None,
)
EVENTS_HANDLED = Counter(
    "events_handled",
    "Events that came: applied, already (it had come before), ignored (no concern of this consumer), parked",
    ["consumer", "topic", "outcome"],
    registry=None,
)
EVENT_DELAY = Histogram(
    "events_applied_delay_seconds",
    "From what happened to its effect in this consumer",
    ["consumer"],
    buckets=(*LATENCY_BUCKETS, 60, 600),  # a consumer that was away has much to catch up with
    registry=None,
)
EVENTS_TRIED_AGAIN = Counter(
    "events_retries", "Attempts at an event after the first", ["consumer", "reason"], registry=None
)
DEAD_LETTERS = Gauge("events_dead_letters", "Events that are parked", ["consumer"], registry=None)
CONSUMER_LAG = Gauge(
    "events_consumer_lag", "Events that a consumer has not handled yet", ["consumer", "topic"], registry=None
)
SAGA_COMMANDS = Histogram(
    "saga_command_duration_seconds",
    "Commands and compensations of sagas: done, refused, abandoned, unanswered (and sent again later)",
    ["action", "outcome"],
    buckets=LATENCY_BUCKETS,
    registry=None,
)
SAGAS_ENDED = Counter(
    "sagas_ended", "Sagas that have ended: confirmed, or why not", ["result"], registry=None
)
SAGA_DURATION = Histogram(
    "saga_duration_seconds",
    "From an order's placing to its end",
    buckets=(*LATENCY_BUCKETS, 60, 600),
    registry=None,
)
SAGAS_RUNNING = Gauge("sagas_running", "Sagas that have not ended, of all processes", registry=None)
SAGAS_STUCK = Gauge("sagas_stuck", "Those of them that wait for one answer for too long", registry=None)
SAGA_OLDEST = Gauge("sagas_oldest_seconds", "Age of the oldest that runs; 0 without any", registry=None)
WS_CONNECTIONS = Gauge("ws_connections", "Open WebSockets", registry=None)
WS_SUBSCRIPTIONS = Gauge("ws_subscriptions", "Rooms heard by them, all together", registry=None)
WS_QUEUE = Gauge("ws_queue_bytes", "Sent and not yet taken by their readers, all together", registry=None)
WS_MESSAGES_IN = Counter("ws_messages_in", "Messages from clients", registry=None)
WS_MESSAGES_OUT = Counter("ws_messages_out", "Rooms' messages to clients, each receiver's", registry=None)
WS_CLOSES = Counter(
    "ws_closes",
    "WebSockets that ended: our close code (4408: too slow), peer (it closed), lost",
    ["code"],
    registry=None,
)
WS_RECOVERIES = Counter(
    "ws_recoveries",
    "Pasts told to returning clients (recovered), or too long for that (refused); gaps in rooms filled (gap)",
    ["kind"],
    registry=None,
)
WS_REFUSED = Counter(
    "ws_refused",
    "Sockets refused before they were opened, by the problem's type",
    ["reason"],
    registry=None,
)
_exposed: set[Collector] = set()


def expose(metric: Collector) -> None:
    """From now on this process has `metric`."""
    if metric not in _exposed:
        _exposed.add(metric)
        REGISTRY.register(metric)


def show(gauge: Gauge, value: Callable[[], float]) -> None:
    """From now on `gauge`, asked by Prometheus, says what `value` returns. The latest call counts."""
    gauge.set_function(value)
    expose(gauge)


def start_at_zero(counter: Counter, *labels: Sequence[str]) -> None:
    """Give `counter` a series for each of `labels` now: to an alarm, one that begins at 1 has not risen."""
    for values in labels:
        counter.labels(*values)


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
