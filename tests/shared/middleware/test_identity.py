import secrets
import time

import pytest

from shared import context
from shared.auth.identity import IdentitySigner, IdentityVerifier
from shared.config import Secret
from shared.context import Principal
from shared.errors import Unauthenticated
from shared.http.messages import Headers, Request, Response
from shared.middleware.identity import identity

KEY = Secret("k1:" + secrets.token_urlsafe(32))
ALICE = Principal("u-1", "s-1", "t-1", 1_767_226_200, frozenset({"user"}), "203.0.113.9")
SIGNER = IdentitySigner("gateway", "product", KEY)

seen: list[Principal] = []


async def remember(request: Request) -> Response:
    assert request.principal == context.principal.get()
    seen.append(request.principal)
    return Response(204)


handler = identity(IdentityVerifier("product", {"gateway": KEY}))(remember)


def request(target: str, principal: Principal | None) -> Request:
    fields = [("X-Request-ID", "r-1")]
    if principal is not None:
        fields += SIGNER.sign("r-1", "GET", target, principal, time.time_ns() // 1_000_000)
    return Request("GET", target, Headers(fields), peer="127.0.0.1", client_address="127.0.0.1")


async def test_the_handler_sees_who_asks_and_from_where() -> None:
    signed = request("/products?limit=1", ALICE)
    await handler(signed)
    assert seen.pop() == ALICE
    assert signed.client_address == "203.0.113.9"
    assert context.principal.get().is_anonymous


async def test_an_unsigned_request_does_not_reach_the_handler() -> None:
    with pytest.raises(Unauthenticated):
        await handler(request("/products", None))
    assert not seen


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics?x=1"])
async def test_the_operator_needs_no_signature(path: str) -> None:
    await handler(request(path, None))
    assert seen.pop().is_anonymous


@pytest.mark.parametrize("path", ["/healthz/", "//healthz", "/healthz/../products", "/health%7a"])
async def test_nothing_else_passes_as_the_operators(path: str) -> None:
    with pytest.raises(Unauthenticated):
        await handler(request(path, None))
