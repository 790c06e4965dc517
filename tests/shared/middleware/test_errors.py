import asyncio
import json
import logging

import pytest

from shared.errors import ApplicationError, Forbidden, NotFound, Unavailable
from shared.http.messages import Headers, Request, Response
from shared.http.problems import HTTPError
from shared.middleware.errors import errors


async def answer_to(failure: BaseException) -> Response:
    async def handler(_: Request) -> Response:
        raise failure

    request = Request("GET", "/things?q=secret", Headers([]))
    request.id = "the-id"
    return await errors()(handler)(request)


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (NotFound("No such thing."), 404, "not-found"),
        (Forbidden("Not you.", code="not-owner"), 403, "not-owner"),
        (HTTPError(405, "No."), 405, "method-not-allowed"),
        (ApplicationError("?"), 500, "internal"),
    ],
)
async def test_our_failures_say_what_they_are(failure: ApplicationError, status: int, code: str) -> None:
    response = await answer_to(failure)
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    assert (response.status, document["status"]) == (status, status)
    assert document["type"] == f"urn:plainstack:problem:{code}"
    assert document["instance"] == "urn:plainstack:request:the-id"


async def test_retry_after_is_passed_on() -> None:
    response = await answer_to(Unavailable("Later.", retry_after=1.2))
    assert ("Retry-After", "2") in response.headers


async def test_other_failures_tell_nothing_but_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        response = await answer_to(RuntimeError("password is hunter2"))
    assert response.status == 500
    assert isinstance(response.body, bytes)
    assert b"hunter2" not in response.body
    (record,) = caplog.records
    assert record.exc_info is not None
    assert vars(record)["path"] == "/things"


async def test_a_cancellation_is_no_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        await answer_to(asyncio.CancelledError())
