"""Errors on the wire (RFC 9457)."""

import json

import pytest

from shared.errors import (
    ApplicationError,
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from shared.http.problems import HTTPError, PayloadTooLarge, problem


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Unauthenticated("?"), 401),
        (NotFound("?"), 404),
        (Conflict("?"), 409),
        (PayloadTooLarge(5), 413),
        (Invalid("?"), 422),
        (TooManyRequests("?"), 429),
        (ApplicationError("?"), 500),
        (HTTPError(502, "?"), 502),
        (Unavailable("?"), 503),
    ],
)
def test_each_error_has_its_status(error: ApplicationError, status: int) -> None:
    response = problem(error)
    assert response.status == status
    assert isinstance(response.body, bytes)
    assert json.loads(response.body)["status"] == status


def test_a_problem_says_what_and_where() -> None:
    error = Invalid("Some fields are not acceptable.", (FieldError("price.amount", "Expected `int`"),))
    response = problem(error, "r-1")
    assert response.headers == [("Content-Type", "application/problem+json")]
    assert isinstance(response.body, bytes)
    assert json.loads(response.body) == {
        "type": "urn:plainstack:problem:invalid",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "Some fields are not acceptable.",
        "instance": "urn:plainstack:request:r-1",
        "errors": [{"field": "price.amount", "detail": "Expected `int`"}],
    }


def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    assert ("Retry-After", "1") in problem(Unavailable("?", retry_after=0.01)).headers
    assert ("Retry-After", "3") in problem(Unavailable("?", retry_after=2.1)).headers


def test_extension_members_add_to_the_standard_ones_and_replace_none() -> None:
    members = {"error": "invalid_request", "status": "200"}
    response = problem(HTTPError(400, "?", members=members))
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    assert (document["error"], document["status"]) == ("invalid_request", 400)


@pytest.mark.parametrize(
    ("error", "challenge"),
    [
        (Unauthenticated("?"), 'Bearer realm="plainstack"'),
        (Unauthenticated("?", code="invalid-credentials"), 'Bearer realm="plainstack"'),
        (
            Unauthenticated('It is "old".', code="invalid-token"),
            'Bearer realm="plainstack", error="invalid_token", error_description="It is \'old\'."',
        ),
        (HTTPError(401, "?"), 'Bearer realm="plainstack"'),
        (HTTPError(401, "?", [("WWW-Authenticate", "Basic")]), "Basic"),
    ],
)
def test_every_401_says_how(error: ApplicationError, challenge: str) -> None:
    assert [value for name, value in problem(error).headers if name == "WWW-Authenticate"] == [challenge]


def test_nothing_else_asks_for_credentials() -> None:
    assert "WWW-Authenticate" not in dict(problem(HTTPError(400, "?")).headers)
