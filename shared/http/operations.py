"""What every process answers to its operator: /healthz, /readyz, /metrics."""

from shared.http.messages import Request, Response, json_response
from shared.http.routing import Route
from shared.observability import metrics
from shared.runtime import Readiness

OPERATIONS_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def operations_routes(readiness: Readiness) -> list[Route]:
    """The rows to put into a process's table."""

    async def healthz(_: Request) -> Response:
        return json_response(200, {"status": "alive"})

    async def readyz(_: Request) -> Response:
        failures = await readiness.failures()
        if failures:
            reasons = {failure.name: failure.reason for failure in failures}
            lasting = [failure.name for failure in failures if failure.lasts]
            return json_response(503, {"status": "not ready", "failures": reasons, "lasting": lasting})
        return json_response(200, {"status": "ready"})

    async def exposition(_: Request) -> Response:
        headers = [("Content-Type", "text/plain; version=0.0.4; charset=utf-8")]
        return Response(200, headers, metrics.exposition())

    return [
        Route("GET", "/healthz", healthz),
        Route("GET", "/readyz", readyz),
        Route("GET", "/metrics", exposition),
    ]
