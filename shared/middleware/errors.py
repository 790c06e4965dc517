"""Failures become answers: our own errors as they say, everything else as a bare 500."""

import logging

from shared.errors import ApplicationError
from shared.http.messages import Handler, Middleware, Request, Response
from shared.http.problems import problem

_log = logging.getLogger(__name__)


def errors() -> Middleware:
    """Turns exceptions into application/problem+json; the unexpected is logged, and told to nobody."""

    def wrap(handler: Handler) -> Handler:
        async def guarded(request: Request) -> Response:
            try:
                return await handler(request)
            except ApplicationError as failure:
                return problem(failure, request.id)
            except Exception:
                _log.exception("unexpected failure", extra={"method": request.method, "path": request.path})
                return problem(ApplicationError("Something went wrong on our side."), request.id)

        return guarded

    return wrap
