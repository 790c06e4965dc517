"""Gives every request its identity in logs and traces, and says who the client is.

Outermost of all: what stands inside finds `request.id`, `.trace`, `.client_address`, `.scheme` and the
context variables set. Every response carries `X-Request-ID`.
"""

import re
import time

from shared import context
from shared.http.messages import Handler, Middleware, Request, Response
from shared.ids import GOOD_REQUEST_ID, new_request_id
from shared.middleware.client_address import TrustedProxies
from shared.observability.tracing import begin_span

TRUSTED_PEER = "trusted_peer"  # note: the peer is one of our trusted proxies

_GOOD_DEADLINE = re.compile(r"[0-9]{1,9}")  # milliseconds; 9 digits are 11 days
_NONE_TRUSTED = TrustedProxies()


def request_id(trusted_proxies: TrustedProxies = _NONE_TRUSTED) -> Middleware:
    """Keeps a well-formed `X-Request-ID` and `traceparent` or makes new ones.

    `X-Request-Deadline` (milliseconds left) becomes the context's deadline: a caller may shorten its time.
    """
    has_proxies = bool(trusted_proxies)

    def wrap(handler: Handler) -> Handler:
        async def identified(request: Request) -> Response:
            get = request.headers.get
            sent = get("x-request-id")
            request.id = sent if sent is not None and GOOD_REQUEST_ID.fullmatch(sent) else new_request_id()
            request.trace = begin_span(get("traceparent"))
            request.client_address = request.peer
            if has_proxies and trusted_proxies.trusts(request.peer):
                _believe(request, trusted_proxies)
            context.request_id.set(request.id)
            context.trace.set(request.trace)
            context.deadline.set(_deadline(get("x-request-deadline")))
            context.principal.set(context.ANONYMOUS)  # one connection's requests share their context
            response = await handler(request)
            response.headers.append(("X-Request-ID", request.id))
            return response

        return identified

    return wrap


def _believe(request: Request, trusted_proxies: TrustedProxies) -> None:
    get = request.headers.get
    request.notes[TRUSTED_PEER] = True
    request.client_address = trusted_proxies.client_address(request.peer, get("x-forwarded-for") or "")
    scheme = (get("x-forwarded-proto") or "").rpartition(",")[2].strip().lower()
    if scheme in ("http", "https"):
        request.scheme = scheme


def _deadline(milliseconds: str | None) -> float | None:
    if milliseconds is None or not _GOOD_DEADLINE.fullmatch(milliseconds):
        return None
    return time.monotonic() + int(milliseconds) / 1000
