"""Lets in only what a known caller has signed, and makes known who asks.

On every route but health and metrics, which tell no secrets and must work for an operator's probe.
"""

import logging
import time

from shared import context
from shared.auth.identity import IdentityRefused, IdentityVerifier
from shared.http.messages import Handler, Middleware, Request, Response
from shared.http.operations import OPERATIONS_PATHS

_log = logging.getLogger(__name__)


def identity(verifier: IdentityVerifier) -> Middleware:
    """Sets `request.principal`, `request.client_address` and `context.principal`; raises Unauthenticated."""

    def wrap(handler: Handler) -> Handler:
        async def identified(request: Request) -> Response:
            if request.path in OPERATIONS_PATHS:
                return await handler(request)
            principal = _verify(verifier, request)
            request.principal = principal
            request.client_address = principal.client_address or request.client_address
            token = context.principal.set(principal)
            try:
                return await handler(request)
            finally:
                context.principal.reset(token)

        return identified

    return wrap


def _verify(verifier: IdentityVerifier, request: Request) -> context.Principal:
    try:
        return verifier.verify(request.method, request.target, request.headers, time.time_ns() // 1_000_000)
    except IdentityRefused as refused:
        _log.warning("identity refused", extra={"reason": refused.reason, "peer": request.peer})
        raise
