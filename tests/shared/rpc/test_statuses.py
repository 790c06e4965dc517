"""Every error of ours survives the way over the wire, or becomes what our own caller may be told."""

import pytest
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

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
from shared.rpc.statuses import DOMAIN, STATUS_OF, details_of, error_of, status_of

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)


def over_the_wire(error: ApplicationError) -> ApplicationError:
    return error_of(status_of(error), error.detail, details_of(error), "product")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Invalid("x"), StatusCode.INVALID_ARGUMENT),
        (Malformed("x"), StatusCode.INVALID_ARGUMENT),
        (Unauthenticated("x"), StatusCode.UNAUTHENTICATED),
        (Forbidden("x"), StatusCode.PERMISSION_DENIED),
        (NotFound("x"), StatusCode.NOT_FOUND),
        (Conflict("x"), StatusCode.FAILED_PRECONDITION),
        (PreconditionFailed("x"), StatusCode.ABORTED),
        (TooManyRequests("x"), StatusCode.RESOURCE_EXHAUSTED),
        (Unavailable("x"), StatusCode.UNAVAILABLE),
        (DeadlineExceeded("x"), StatusCode.DEADLINE_EXCEEDED),
        (ApplicationError("x"), StatusCode.INTERNAL),
    ],
)
def test_the_table(error: ApplicationError, status: StatusCode) -> None:
    assert status_of(error) is status


def test_the_table_has_every_kind_of_error() -> None:
    assert set(STATUS_OF) == set(ApplicationError.__subclasses__()) & set(STATUS_OF)
    ours = {kind for kind in ApplicationError.__subclasses__() if kind.__module__ == "shared.errors"}
    assert ours <= set(STATUS_OF)


@given(
    st.sampled_from([Forbidden, NotFound, Conflict, PreconditionFailed, TooManyRequests]),
    TEXTS,
    TEXTS.filter(bool),
    st.none() | st.integers(1, 10_000).map(lambda tenths: tenths / 10),
)
def test_what_a_callee_says_comes_back(
    kind: type[ApplicationError], detail: str, code: str, retry_after: float | None
) -> None:
    back = over_the_wire(kind(detail, code=code, retry_after=retry_after))
    assert (type(back), back.detail, back.code, back.retry_after) == (kind, detail, code, retry_after)


@given(st.lists(st.builds(FieldError, TEXTS, TEXTS), max_size=5).map(tuple))
def test_bad_fields_come_back(fields: tuple[FieldError, ...]) -> None:
    back = over_the_wire(Invalid("Some fields.", fields, code="odd"))
    assert isinstance(back, Invalid)
    assert (back.detail, back.code, back.fields) == ("Some fields.", "odd", fields)


def test_more_bad_fields_than_metadata_can_hold_are_cut_off() -> None:
    fields = tuple(FieldError(f"items[{number}].product_id", "Must be a UUID") for number in range(1000))
    details = details_of(Invalid("Some fields.", fields))
    assert len(details) < 8_000
    back = error_of(StatusCode.INVALID_ARGUMENT, "Some fields.", details, "product")
    assert isinstance(back, Invalid)
    assert back.fields == fields[: len(back.fields)]


def test_a_status_that_is_not_the_callees_is_not_believed() -> None:
    details = details_of(Invalid("Some fields."))
    assert type(error_of(StatusCode.RESOURCE_EXHAUSTED, "metadata size", details, "product")) is Unavailable


def test_what_is_malformed_comes_back_as_invalid() -> None:
    assert type(over_the_wire(Malformed("?"))) is Invalid


@pytest.mark.parametrize(
    "error", [Unauthenticated("Who are you?"), ApplicationError("A bug."), Unavailable("x")]
)
def test_trouble_between_services_is_nothing_that_our_caller_could_mend(error: ApplicationError) -> None:
    back = over_the_wire(error)
    assert type(back) is Unavailable
    assert (back.detail, back.retry_after) == ("The product service cannot answer.", 1.0)


def test_the_texts_of_grpc_itself_stay_inside() -> None:
    detail = "failed to connect to all addresses; ipv4:10.0.0.7:8025"
    for code in StatusCode:
        assert "10.0.0.7" not in error_of(code, detail, b"", "product").detail
    assert type(error_of(StatusCode.DEADLINE_EXCEEDED, detail, b"", "product")) is DeadlineExceeded


@given(st.binary(max_size=100))
def test_details_that_are_none_are_ignored(details: bytes) -> None:
    if DOMAIN.encode() not in details:
        assert type(error_of(StatusCode.NOT_FOUND, "?", details, "product")) is Unavailable
