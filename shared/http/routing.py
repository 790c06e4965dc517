"""A service's table of methods and path patterns, and the handler that looks requests up in it.

A pattern is a path whose segments may be parameters: `/orders/{order_id}/cancel`. The target is split into
segments first and each segment percent-decoded once after that, so that an encoded slash can never move a
segment's border.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from shared.errors import Malformed, NotFound
from shared.http.messages import Handler, Request, Response
from shared.http.problems import HTTPError


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the table."""

    method: str
    pattern: str
    handler: Handler


class Router:
    """Calls the handler whose row matches: 404 without one, 405 with `Allow`, and answers OPTIONS.

    A GET row serves HEAD too; the server leaves the body out. Literal segments win over parameters.
    """

    def __init__(self, routes: Sequence[Route]) -> None:
        self._handlers: dict[str, dict[str, Handler]] = {}
        for route in routes:
            self._handlers.setdefault(route.pattern, {})[route.method] = route.handler
        by_literals = sorted(self._handlers, key=lambda pattern: pattern.count("{"))
        self._patterns = [(pattern, pattern.split("/")) for pattern in by_literals]

    async def __call__(self, request: Request) -> Response:
        """Route one request. Raises NotFound, Malformed, or HTTPError 405."""
        handlers = self._match(request)
        handler = handlers.get(request.method)
        if handler is None and request.method == "HEAD":
            handler = handlers.get("GET")
        if handler is not None:
            return await handler(request)
        allow = ("Allow", ", ".join(_allowed(handlers)))
        if request.method == "OPTIONS":
            return Response(204, [allow])
        raise HTTPError(405, f"{request.method} is not supported here.", [allow])

    def _match(self, request: Request) -> dict[str, Handler]:
        segments = [_decode(segment) for segment in request.path.split("/")]
        for pattern, parts in self._patterns:
            parameters = _bind(parts, segments)
            if parameters is not None:
                request.route = pattern
                request.parameters = parameters
                return self._handlers[pattern]
        raise NotFound("There is nothing at this path.")


def _bind(parts: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(parts) != len(segments):
        return None
    parameters = {}
    for part, segment in zip(parts, segments, strict=True):
        if part.startswith("{"):
            parameters[part[1:-1]] = segment
        elif part != segment:
            return None
    return parameters


def _decode(segment: str) -> str:
    if "%" not in segment:
        return segment
    try:
        return unquote(segment, errors="strict")
    except UnicodeDecodeError as broken:
        raise Malformed("The path is not percent-encoded UTF-8.") from broken


def _allowed(handlers: dict[str, Handler]) -> list[str]:
    extra = {"OPTIONS"} | ({"HEAD"} if "GET" in handlers else set())
    return sorted(extra | handlers.keys())
