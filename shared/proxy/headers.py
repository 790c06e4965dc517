"""Which header fields a proxy passes on, and which it adds (pure).

The order is the safety: first everything goes that only concerned the last hop (RFC 9110 section 7.6.1) or
that only we may say, then ours is added. The other way round, `Connection: X-Authenticated-User-ID` would
have us strip our own word.

Underscores count as hyphens when a field is judged: behind CGI-like interfaces `X_Forwarded_For` and
`X-Forwarded-For` are the same variable, so whoever may not send the one may not send the other.
"""

from collections.abc import Iterable

from shared.context import Trace
from shared.http.messages import Fields, Headers, Request

VIA_NAME = "plainstack"  # RFC 9110 section 7.6.3: a pseudonym instead of our host's name

# RFC 9110 section 7.6.1, and what older software sends. Trailer goes because we drop trailers.
_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
_HTTP_CLIENT_WRITES = frozenset({"content-length", "host"})  # framing is made anew from the body
_WE_WRITE = frozenset({"traceparent", "via", "x-request-deadline", "x-request-id"})
_FORWARDING_WE_WRITE = frozenset({"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"})
_IDENTITY = ("x-authenticated-", "x-identity-")
_FORWARDING = ("forwarded", "x-forwarded-")

_REMEMBERED_NAMES = 2048  # field names whose verdict is kept: real ones are few, invented ones without end


class FieldFilter:
    """Judges field names once and remembers the verdict under the spelling it came in."""

    def __init__(self, names: Iterable[str], prefixes: tuple[str, ...] = ()) -> None:
        """Drops fields with one of `names` or beginning with one of `prefixes` (lower case)."""
        self._names = frozenset(names)
        self._prefixes = prefixes
        self._passes: dict[str, bool] = {}

    def passing(self, headers: Headers) -> Fields:
        """A new list of the fields that pass, without those that `Connection` names."""
        verdicts = self._passes
        kept = []
        for field in headers.fields:
            passes = verdicts.get(field[0])
            if passes is None:
                passes = self._judge(field[0])
            if passes:
                kept.append(field)
        connection = headers.get("connection")
        if connection is None or connection in ("keep-alive", "close"):
            return kept
        return _without(kept, {option.strip().lower() for option in connection.split(",")})

    def _judge(self, name: str) -> bool:
        plain = name.lower().replace("_", "-")
        passes = plain not in self._names and not plain.startswith(self._prefixes)
        if len(self._passes) < _REMEMBERED_NAMES:
            self._passes[name] = passes
        return passes


def _without(fields: Fields, names: set[str]) -> Fields:
    return [field for field in fields if field[0].lower() not in names]


class RequestHeaders:
    """The header rules of one route, towards the upstream."""

    def __init__(self, *, drops_authorization: bool) -> None:
        """`drops_authorization`: the token has been checked here and is nobody else's business."""
        names = _HOP_BY_HOP | _HTTP_CLIENT_WRITES | _WE_WRITE | _FORWARDING_WE_WRITE
        if drops_authorization:
            names |= {"authorization"}
        self._from_anyone = FieldFilter(names, _IDENTITY + _FORWARDING)
        self._from_trusted = FieldFilter(names, _IDENTITY)

    def forwarded(self, request: Request, deadline_ms: int, *, trusted: bool) -> Fields:
        """The fields for the upstream, apart from Host, framing and identity.

        `deadline_ms` is how long the upstream may take; `trusted` says that the peer is a proxy of ours,
        whose word on forwarding is continued instead of replaced.
        """
        get = request.headers.get
        forwarded_for, host, via = request.peer, get("host") or "", f"{request.version} {VIA_NAME}"
        if trusted:
            fields = self._from_trusted.passing(request.headers)
            before = get("x-forwarded-for")
            forwarded_for = f"{before}, {forwarded_for}" if before else forwarded_for
            host = get("x-forwarded-host") or host
        else:
            fields = self._from_anyone.passing(request.headers)
        if (before := get("via")) is not None:
            via = f"{before}, {via}"
        fields += (
            ("Via", via),
            ("X-Forwarded-For", forwarded_for),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", request.scheme),
            ("X-Request-ID", request.id),
            ("X-Request-Deadline", str(deadline_ms)),
        )
        return fields if request.trace is None else _traced(fields, request.trace, request.headers)


def _traced(fields: Fields, trace: Trace, headers: Headers) -> Fields:
    """With our span as the parent. State without a parent belongs to a trace that we did not take up."""
    if not trace.parent_id and "tracestate" in headers:
        fields = _without(fields, {"tracestate"})
    fields.append(("traceparent", trace.traceparent))
    return fields


_FROM_UPSTREAM = FieldFilter(_HOP_BY_HOP | {"via", "x-request-id"})
_FROM_UPSTREAM_INTERIM = FieldFilter(_HOP_BY_HOP | {"content-length", "x-request-id"})


def returned(headers: Headers) -> Fields:
    """The fields for the client. `X-Request-ID` is the middleware's to set."""
    fields = _FROM_UPSTREAM.passing(headers)
    via = headers.get("via")
    fields.append(("Via", f"{via}, 1.1 {VIA_NAME}" if via else f"1.1 {VIA_NAME}"))
    return fields


def returned_interim(fields: Fields) -> Fields:
    """The fields of an interim answer for the client."""
    return _FROM_UPSTREAM_INTERIM.passing(Headers(fields))
