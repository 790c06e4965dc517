"""Errors on the wire: `application/problem+json` (RFC 9457), one table from error to status."""

from math import ceil
from typing import Any

import msgspec

from shared.errors import (
    ApplicationError,
    Conflict,
    DeadlineExceeded,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from shared.http.messages import Fields, Response
from shared.http.statuses import REASONS


class HTTPError(ApplicationError):
    """A failure of HTTP itself, which has a status but no meaning in any domain (405, 413, 431, 502 …)."""

    def __init__(self, status: int, detail: str, headers: Fields | None = None) -> None:
        super().__init__(detail, code=REASONS[status].lower().replace(" ", "-"))
        self.status = status
        self.headers = headers or []


class PayloadTooLarge(HTTPError):
    """The body is longer than whoever reads it allows (413)."""

    def __init__(self, limit: int) -> None:
        super().__init__(413, f"The body is longer than the {limit} bytes allowed here.")


STATUS_OF: dict[type[ApplicationError], int] = {
    Malformed: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    Invalid: 422,
    TooManyRequests: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
}


def problem(error: ApplicationError, request_id: str = "") -> Response:
    """The response that tells a client of `error`."""
    status = _status(error)
    document: dict[str, Any] = {
        "type": f"urn:plainstack:problem:{error.code}",
        "title": REASONS[status],
        "status": status,
        "detail": error.detail,
    }
    if request_id:
        document["instance"] = f"urn:plainstack:request:{request_id}"
    if isinstance(error, Invalid) and error.fields:
        document["errors"] = [{"field": each.field, "detail": each.detail} for each in error.fields]
    headers = [("Content-Type", "application/problem+json"), *_extra_headers(error)]
    return Response(status, headers, msgspec.json.encode(document))


def _status(error: ApplicationError) -> int:
    if isinstance(error, HTTPError):
        return error.status
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def _extra_headers(error: ApplicationError) -> Fields:
    headers = list(error.headers) if isinstance(error, HTTPError) else []
    if isinstance(error, Unauthenticated):
        headers.append(("WWW-Authenticate", _challenge(error)))
    if error.retry_after is not None:
        headers.append(("Retry-After", str(max(1, ceil(error.retry_after)))))
    return headers


def _challenge(error: Unauthenticated) -> str:
    """A 401 must say how (RFC 9110 section 15.5.2), and what was wrong with a token (RFC 6750 section 3)."""
    if error.code != "invalid-token":
        return "Bearer"
    return f'Bearer error="invalid_token", error_description="{error.detail}"'
