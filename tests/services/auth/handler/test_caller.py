"""Nobody, and whoever says to be somebody."""

import pytest

from shared.context import Principal
from shared.http.messages import Headers, Request
from shared.ids import new_id
from tests.services.auth.conftest import AuthServer


@pytest.mark.parametrize(("method", "target"), [("GET", "/auth/me"), ("POST", "/auth/logout")])
async def test_nobody_is_nobody(auth: AuthServer, method: str, target: str) -> None:
    answer = await auth.call(method, target)
    assert (answer.status, answer.headers.get("www-authenticate")) == (401, 'Bearer realm="plainstack"')
    gone = Principal(user_id=str(new_id()), session_id=str(new_id()))
    assert (await auth.call("GET", "/auth/me", principal=gone)).status == 401


async def test_without_the_gateways_signature_nothing_is_answered(auth: AuthServer) -> None:
    forged = Headers([("X-Authenticated-User-ID", str(new_id())), ("X-Authenticated-Roles", "admin")])
    for target in ("/auth/me", "/.well-known/jwks.json", "/auth/nowhere"):
        response = await auth.handler(Request("GET", target, forged))
        assert response.status == 401
