"""What resource servers ask: introspection (RFC 7662) and revocation (RFC 7009).

Both take a form and a client's credentials. `token_type_hint` may be there, once, and changes nothing: a
token of ours says itself of which kind it is (RFC 7009 section 2.2 wants a wrong hint to be ignored anyway).
Tokens of both kinds can be revoked, so `unsupported_token_type` is never the answer.
"""

from collections.abc import Mapping
from typing import Any

from services.auth.domain.clients import Client, ClientRefused
from services.auth.domain.tokens import TokenKind
from services.auth.handler.client_credentials import credentials_of, invalid_client, invalid_request
from services.auth.service.clients import ClientService
from services.auth.service.inspection import ActiveToken, InspectionService
from shared.errors import Malformed
from shared.http.forms import read_form
from shared.http.messages import NO_STORE, Request, Response, json_response

INTROSPECTION_PATH, REVOCATION_PATH = "/auth/introspect", "/auth/revoke"


class OAuthHandler:
    """One method a row."""

    def __init__(self, clients: ClientService, inspection: InspectionService) -> None:
        self._clients = clients
        self._inspection = inspection

    async def introspect(self, request: Request) -> Response:
        """Whether a token can be used, and what it says."""
        form = await _read(request)
        await self._client(request, form)
        active = await self._inspection.introspect(_token(form))
        return json_response(200, _introspection(active), [NO_STORE])

    async def revoke(self, request: Request) -> Response:
        """The end of a token. What is not ours or has ended is as good as revoked (RFC 7009 section 2.2)."""
        form = await _read(request)
        client = await self._client(request, form)
        await self._inspection.revoke(_token(form), client)
        return Response(200, [NO_STORE])

    async def _client(self, request: Request, form: Mapping[str, str]) -> Client:
        try:
            return await self._clients.authenticate(credentials_of(request.headers, form))
        except ClientRefused as refused:
            raise invalid_client(refused.detail) from refused


async def _read(request: Request) -> dict[str, str]:
    try:
        return await read_form(request)
    except Malformed as broken:
        raise invalid_request(broken.detail) from broken


def _token(form: Mapping[str, str]) -> str:
    """A parameter without a value counts as left out (RFC 6749 section 3.2)."""
    if not form.get("token"):
        raise invalid_request("The parameter token is missing.")
    return form["token"]


def _introspection(active: ActiveToken | None) -> dict[str, Any]:
    """RFC 7662 section 2.2. Who asks about a token that is not active learns nothing else about it.

    `token_type` is how an access token is used. A refresh token must not be taken for one, so it says
    `refresh_token` there; its `aud` is the auth server, and it has no roles.
    """
    if active is None:
        return {"active": False}
    token, is_access = active.token, active.token.kind is TokenKind.ACCESS
    document = {
        "active": True,
        "token_type": "Bearer" if is_access else token.kind.value,
        "client_id": token.client_id,
        "username": active.user.email,
        "iss": token.issuer,
        "aud": token.audience[0] if len(token.audience) == 1 else token.audience,
        "sub": token.user_id,
        "sid": token.session_id,
        "jti": token.token_id,
        "iat": int(token.issued_at.timestamp()),
        "nbf": int(token.not_before.timestamp()),
        "exp": int(token.expires_at.timestamp()),
    }
    return {**document, "roles": sorted(token.roles)} if is_access else document
