"""Every metric of the system, with its meaning: what an operator finds under /metrics.

Label values come from our own tables (route patterns, method names we know), never from a client, so that
their number stays bounded.
"""

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

REQUESTS = Counter("http_requests", "Requests answered", ["route", "method", "status_class"])
LATENCY = Histogram(
    "http_request_duration_seconds", "From head received to response sent", ["route"], buckets=LATENCY_BUCKETS
)
IN_FLIGHT = Gauge("http_requests_in_flight", "Requests being answered now")
CONNECTIONS = Gauge("http_server_connections", "Open client connections")
PARSED_BY_H11 = Counter("http_heads_by_h11", "Heads that left the fast path", ["side"])
POOL_CONNECTIONS = Gauge("http_pool_connections", "Connections to an upstream", ["origin", "state"])
POOL_WAITING = Gauge("http_pool_waiting", "Requests waiting for an upstream connection", ["origin"])
UPSTREAM_FAILURES = Counter("upstream_failures", "Upstream attempts that failed", ["upstream", "reason"])
DATABASE_POOL = Gauge("database_pool", "PostgreSQL connections and waiting requests", ["state"])
TOKENS_REMEMBERED = Gauge("auth_tokens_remembered", "Verified access tokens kept in memory")
TOKENS_REFUSED = Counter("auth_tokens_refused", "Access tokens refused", ["reason"])
REVOCATION_AGE = Gauge("revocation_mirror_age_seconds", "Time since the store's last sign of life")
REVOCATION_ENTRIES = Gauge("revocation_mirror_entries", "Revocations held in memory")
PASSWORD_HASHES = Gauge("bcrypt_hashes_running", "Password hashes being computed")
PASSWORD_QUEUE = Gauge("bcrypt_queue", "Password hashes waiting for a core")


def exposition() -> bytes:
    """All metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
