"""Which route a request takes (pure).

A prefix matches whole path segments, and the longest matching prefix wins. Segments are split before they
are decoded, each is decoded once for the comparison, and the target is forwarded as it came. What an
upstream might read as another path than we did (dot segments, `%2F`, `%5C`, `%00`) is refused, because a
route's rules would then guard the wrong door; a route that says `raw_path` takes such targets as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

from shared.errors import Malformed, NotFound
from shared.http.problems import HTTPError
from shared.http.timeouts import Timeouts

Auth = Literal["none", "optional", "required"]

DEFAULT_BODY_LIMIT_BYTES = 10_485_760
MOST_BUFFERED_BYTES = 1_048_576  # of one request
DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True, eq=False)  # told apart by identity: hashing all fields would cost
class GatewayRoute:
    """One `[[route]]`. `methods` empty means all; `body_limit` is in bytes, 0 for none.

    `buffer_body` reads all of a request before it takes a connection to the upstream.
    """

    prefix: str
    upstream: str
    methods: frozenset[str] = frozenset()
    auth: Auth = "required"
    roles: frozenset[str] = frozenset()
    body_limit: int = DEFAULT_BODY_LIMIT_BYTES
    buffer_body: bool = False
    strip_prefix: bool = False
    raw_path: bool = False
    timeouts: Timeouts = DEFAULT_TIMEOUTS

    def target(self, target: str) -> str:
        """The target for the upstream. Raises Malformed where stripping would leave a network-path."""
        if not self.strip_prefix or self.prefix == "/":
            return target
        path, mark, query = target.partition("?")
        rest = "/" + "/".join(path.split("/")[self.prefix.count("/") + 1 :])
        if rest.startswith("//") and not self.raw_path:
            raise Malformed("The path has empty segments where its prefix ends.")
        return f"{rest}{mark}{query}"


class RouteTable:
    """All routes. Several may share a prefix when their methods differ."""

    def __init__(self, routes: Iterable[GatewayRoute]) -> None:
        self._by_prefix: dict[str, list[GatewayRoute]] = {}
        for route in routes:
            self._by_prefix.setdefault(route.prefix.rstrip("/"), []).append(route)
        self._depth = max((prefix.count("/") for prefix in self._by_prefix), default=0)

    def match(self, method: str, path: str) -> GatewayRoute:
        """The route for `path` (still percent-encoded, without query).

        Raises NotFound, Malformed for a path that others may read differently, HTTPError 405.
        """
        plain = "%" not in path and "\\" not in path and "/." not in path and "//" not in path
        routes = self._longest(path) if plain else self._longest_careful(path)
        if routes is None or not path.startswith("/"):
            raise NotFound("There is nothing at this path.")
        for route in routes:
            if not route.methods or method in route.methods:
                if not plain and not route.raw_path:
                    _refuse_ambiguity(path)
                return route
        allowed = sorted(set().union(*(route.methods for route in routes)))
        raise HTTPError(405, f"{method[:32]} is not supported here.", [("Allow", ", ".join(allowed))])

    def _longest(self, path: str) -> list[GatewayRoute] | None:
        return self._longest_of(path.split("/", self._depth + 1)[: self._depth + 1])

    def _longest_of(self, segments: Sequence[str]) -> list[GatewayRoute] | None:
        for end in range(len(segments), 0, -1):
            routes = self._by_prefix.get("/".join(segments[:end]))
            if routes is not None:
                return routes
        return None

    def _longest_careful(self, path: str) -> list[GatewayRoute] | None:
        """Compares decoded segments; also as an upstream would that merges repeated slashes."""
        segments = [_decode(segment) for segment in path.split("/")]
        routes = self._longest_of(segments[: self._depth + 1])
        merged = ["", *filter(None, segments)]
        if self._longest_of(merged[: self._depth + 1]) is not routes:
            raise Malformed("The path has empty segments that change its meaning.")
        return routes


def _decode(segment: str) -> str:
    """Prefixes are ASCII, so the encoding of anything else does not matter; an encoded slash stays one."""
    if "%" not in segment:
        return segment
    return unquote(segment, encoding="latin-1").replace("/", "%2F")


def _refuse_ambiguity(path: str) -> None:
    lowered = path.lower()
    if "\\" in path or "%2f" in lowered or "%5c" in lowered or "%00" in lowered:
        raise Malformed("The path has an encoded slash, a backslash or NUL in it.")
    for segment in path.split("/"):
        # Servers with path parameters read "..;x" as "..".
        if _decode(segment).partition(";")[0] in (".", ".."):
            raise Malformed("The path has dot segments.")
