"""Our errors as gRPC statuses and back: one table. Pure.

What a status cannot say (the error's own code, the bad fields, when to come back) travels beside it in the
field's standard form: a google.rpc.Status in `grpc-status-details-bin` with ErrorInfo, BadRequest, RetryInfo.
"""

from collections.abc import Mapping
from typing import TypeVar

from google.protobuf.message import DecodeError, Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from shared.errors import (
    ApplicationError,
    Conflict,
    DeadlineExceeded,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)

DETAILS_KEY = "grpc-status-details-bin"
MAX_VIOLATIONS = 30  # what travels here may have 8 kB: more would replace our status by one of gRPC's own
DOMAIN = "plainstack"  # whose the codes in ErrorInfo are

# Of two with one status, the first is what it is read as.
STATUS_OF: Mapping[type[ApplicationError], StatusCode] = {
    Invalid: StatusCode.INVALID_ARGUMENT,
    Malformed: StatusCode.INVALID_ARGUMENT,
    Unauthenticated: StatusCode.UNAUTHENTICATED,
    Forbidden: StatusCode.PERMISSION_DENIED,
    NotFound: StatusCode.NOT_FOUND,
    Conflict: StatusCode.FAILED_PRECONDITION,
    PreconditionFailed: StatusCode.ABORTED,
    TooManyRequests: StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: StatusCode.UNAVAILABLE,
    DeadlineExceeded: StatusCode.DEADLINE_EXCEEDED,
}
# That a callee does not accept our signature is our own trouble, not that of whoever asks us.
ERROR_OF: Mapping[StatusCode, type[ApplicationError]] = {
    status: kind for kind, status in reversed([*STATUS_OF.items()]) if kind is not Unauthenticated
}

M = TypeVar("M", bound=Message)


def status_of(error: ApplicationError) -> StatusCode:
    """INTERNAL for a failure that has no place in the table."""
    kinds = (kind for kind in type(error).__mro__ if kind in STATUS_OF)
    return next((STATUS_OF[kind] for kind in kinds), StatusCode.INTERNAL)


def details_of(error: ApplicationError) -> bytes:
    """What goes beside the status: the value of DETAILS_KEY."""
    status = Status(code=status_of(error).value[0], message=error.detail)
    status.details.add().Pack(ErrorInfo(reason=error.code, domain=DOMAIN))
    if isinstance(error, Invalid) and error.fields:
        violations = [
            BadRequest.FieldViolation(field=each.field, description=each.detail)
            for each in error.fields[:MAX_VIOLATIONS]
        ]
        status.details.add().Pack(BadRequest(field_violations=violations))
    if error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
        status.details.add().Pack(retry)
    serialized: bytes = status.SerializeToString()
    return serialized


def error_of(code: StatusCode, detail: str, details: bytes, callee: str) -> ApplicationError:
    """What a call to `callee` that ended with `code` means to our own caller.

    Whatever is no answer of the callee's, a broken one included, is Unavailable.
    """
    kind = ERROR_OF.get(code, Unavailable)
    status = _parse(details)
    reason = _unpack(status, ErrorInfo)
    is_callees = reason is not None and reason.domain == DOMAIN and status.code == code.value[0]
    if reason is None or not is_callees or kind is Unavailable:
        return _without_words_of_its_own(kind, callee)
    if kind is Invalid:
        bad = _unpack(status, BadRequest) or BadRequest()
        fields = tuple(FieldError(each.field, each.description) for each in bad.field_violations)
        return Invalid(detail, fields, code=str(reason.reason))
    retry = _unpack(status, RetryInfo)
    seconds = retry.retry_delay.ToMilliseconds() / 1000 if retry else None
    return kind(detail, code=str(reason.reason), retry_after=seconds)


def _without_words_of_its_own(kind: type[ApplicationError], callee: str) -> ApplicationError:
    """gRPC's own texts name addresses and sockets: nothing for a client."""
    if kind is DeadlineExceeded:
        return DeadlineExceeded(f"The {callee} service has not answered in time.")
    return Unavailable(f"The {callee} service cannot answer.", retry_after=1.0)


def _parse(details: bytes) -> Status:
    try:
        return Status.FromString(details)
    except DecodeError:
        return Status()


def _unpack(status: Status, type_: type[M]) -> M | None:
    message = type_()
    return message if any(each.Unpack(message) for each in status.details) else None
