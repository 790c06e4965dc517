"""Errors on the wire: `application/problem+json` (RFC 9457), one table from error to status."""

from collections.abc import Mapping
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
from shared.http import challenges
from shared.http.messages import Fields, Response
from shared.http.statuses import REASONS


class HTTPError(ApplicationError):
    """A failure of HTTP itself, which has a status but no meaning in any domain (405, 413, 431, 502 …)."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Fields | None = None,
        *,
        code: str | None = None,
        members: Mapping[str, str] | None = None,
    ) -> None:
        """`members` are extension members of the document (RFC 9457 section 3.2)."""
        super().__init__(detail, code=code or REASONS[status].lower().replace(" ", "-"))
        self.status = status
        self.headers = headers or []
        self.members = members or {}


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
    if isinstance(error, HTTPError):
        document = {**error.members, **document}
    headers = [("Content-Type", "application/problem+json"), *_extra_headers(error, status)]
    return Response(status, headers, msgspec.json.encode(document))


def _status(error: ApplicationError) -> int:
    if isinstance(error, HTTPError):
        return error.status
    return next((STATUS_OF[kind] for kind in type(error).__mro__ if kind in STATUS_OF), 500)


def _extra_headers(error: ApplicationError, status: int) -> Fields:
    headers = list(error.headers) if isinstance(error, HTTPError) else []
    if status == STATUS_OF[Unauthenticated] and challenges.NAME not in dict(headers):
        headers.append((challenges.NAME, _challenge(error)))
    if error.retry_after is not None:
        headers.append(("Retry-After", str(max(1, ceil(error.retry_after)))))
    return headers


def _challenge(error: ApplicationError) -> str:
    """A 401 must say how (RFC 9110 section 15.5.2), and what was wrong with a token (RFC 6750 section 3)."""
    if error.code != "invalid-token":
        return challenges.bearer()
    return challenges.bearer("invalid_token", error.detail)
