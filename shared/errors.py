"""The few kinds of failure that the whole system speaks of.

An error says *what* went wrong in words a client may read, and a stable `code` a program may test.
It knows no transport: `shared.http.problems` maps it to an HTTP status.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FieldError:
    """One bad field of a request: its dotted path (`price.amount`) and what is wrong with it."""

    field: str
    detail: str


class ApplicationError(Exception):
    """The base of every failure that a caller is told about. `detail` never holds a secret."""

    code = "internal"

    def __init__(self, detail: str, *, code: str | None = None, retry_after: float | None = None) -> None:
        """`code` refines the class's own; `retry_after` is in seconds."""
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.code
        self.retry_after = retry_after


class Malformed(ApplicationError):
    """The message cannot be understood at all: broken JSON, a missing required header."""

    code = "malformed"


class Invalid(ApplicationError):
    """The message is understood, but some of its fields break a rule; `fields` names every one of them."""

    code = "invalid"

    def __init__(self, detail: str, fields: tuple[FieldError, ...] = (), *, code: str | None = None) -> None:
        super().__init__(detail, code=code)
        self.fields = fields


class Unauthenticated(ApplicationError):
    """Nobody, or nobody we can verify, is asking."""

    code = "unauthenticated"


class Forbidden(ApplicationError):
    """We know who is asking; they may not."""

    code = "forbidden"


class NotFound(ApplicationError):
    """There is no such thing, or none that the caller may know of."""

    code = "not-found"


class Conflict(ApplicationError):
    """The request contradicts the state that the resource is in."""

    code = "conflict"


class PreconditionFailed(ApplicationError):
    """The caller's `If-Match` names another version than the current one (RFC 9110 section 13.1.1)."""

    code = "precondition-failed"


class TooManyRequests(ApplicationError):
    """The caller has used up an allowance; `retry_after` says when it is filled again."""

    code = "too-many-requests"


class Unavailable(ApplicationError):
    """Something we depend on does not answer; trying again later is right."""

    code = "unavailable"


class DeadlineExceeded(ApplicationError):
    """The time that the caller gave has run out."""

    code = "deadline-exceeded"


def in_words(failure: ApplicationError) -> str:
    """All that `failure` says, in one line for an operator: detail, code, and every bad field."""
    fields = failure.fields if isinstance(failure, Invalid) else ()
    return "; ".join(
        [f"{failure.detail} ({failure.code})", *(f"{each.field}: {each.detail}" for each in fields)]
    )
