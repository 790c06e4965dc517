"""Accounts and sessions over HTTP: decode, ask the service, encode."""

from typing import Any
from uuid import UUID

import msgspec

from services.auth.domain import ACCOUNT_RULES, LogoutScope, Origin, Tokens, User
from services.auth.service import AccountService, NewAccount, SessionService
from services.auth.signing_keys import KeyRing
from shared.auth.jwks import JWKS_PATH, LIFETIME_SECONDS
from shared.auth.settings import TokenSettings
from shared.context import Principal
from shared.errors import Unauthenticated
from shared.http.decoding import read_json
from shared.http.messages import Request, Response, json_response
from shared.http.routing import Route
from shared.ids import parse_id

METADATA_PATH = "/.well-known/oauth-authorization-server"
MAX_DEVICE_CHARACTERS = 200

_NO_STORE = ("Cache-Control", "no-store")  # whatever answers with tokens (RFC 6749 section 5.1)
# No verifier keeps the keys longer than our own do; a new key is published for longer before it signs.
_CACHEABLE = ("Cache-Control", f"public, max-age={LIFETIME_SECONDS:.0f}")


class SignUpBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /auth/signup` takes."""

    email: str
    password: str
    display_name: str


class LogInBody(msgspec.Struct):
    """What `POST /auth/login` takes."""

    email: str
    password: str


class RefreshBody(msgspec.Struct):
    """What `POST /auth/refresh` takes."""

    refresh_token: str


class LogOutBody(msgspec.Struct):
    """What `POST /auth/logout` takes, if anything."""

    scope: LogoutScope = LogoutScope.LOCAL


def auth_routes(
    accounts: AccountService, sessions: SessionService, keys: KeyRing, settings: TokenSettings
) -> list[Route]:
    """The rows of the auth server's table."""
    handler = AccountHandler(accounts, sessions)
    publisher = KeyHandler(keys, settings)
    return [
        Route("POST", "/auth/signup", handler.sign_up),
        Route("POST", "/auth/login", handler.log_in),
        Route("POST", "/auth/refresh", handler.refresh),
        Route("POST", "/auth/logout", handler.log_out),
        Route("GET", "/auth/me", handler.me),
        Route("GET", JWKS_PATH, publisher.jwks),
        Route("GET", METADATA_PATH, publisher.metadata),
    ]


class AccountHandler:
    """One method a row."""

    def __init__(self, accounts: AccountService, sessions: SessionService) -> None:
        self._accounts = accounts
        self._sessions = sessions

    async def sign_up(self, request: Request) -> Response:
        """A new account."""
        body = await read_json(request, SignUpBody, ACCOUNT_RULES)
        user = await self._accounts.sign_up(NewAccount(body.email, body.password, body.display_name))
        return json_response(201, _user_view(user))

    async def log_in(self, request: Request) -> Response:
        """A new session with its tokens."""
        body = await read_json(request, LogInBody)
        device = (request.headers.get("user-agent") or "")[:MAX_DEVICE_CHARACTERS]
        tokens = await self._sessions.log_in(
            body.email, body.password, Origin(device, request.client_address)
        )
        return _token_response(tokens)

    async def refresh(self, request: Request) -> Response:
        """The next pair of tokens of a session."""
        body = await read_json(request, RefreshBody)
        return _token_response(await self._sessions.refresh(body.refresh_token))

    async def log_out(self, request: Request) -> Response:
        """The end of this session, of all others, or of all."""
        user_id, session_id = _caller(request.principal)
        body = LogOutBody() if request.body.length == 0 else await read_json(request, LogOutBody)
        await self._sessions.log_out(user_id, session_id, body.scope)
        return Response(204)

    async def me(self, request: Request) -> Response:
        """Who asks."""
        user_id, _ = _caller(request.principal)
        return json_response(200, _user_view(await self._accounts.user(user_id)), [_NO_STORE])


class KeyHandler:
    """What anybody may know of the issuer."""

    def __init__(self, keys: KeyRing, settings: TokenSettings) -> None:
        self._keys = keys
        self._settings = settings

    async def jwks(self, request: Request) -> Response:
        """The public keys (RFC 7517 section 5)."""
        headers = [("Content-Type", "application/jwk-set+json"), _CACHEABLE]
        return Response(200, headers, self._keys.jwks)

    async def metadata(self, request: Request) -> Response:
        """RFC 8414. Logging in with JSON is no OAuth grant, so there is no `token_endpoint`."""
        document: dict[str, Any] = {
            "issuer": self._settings.issuer,
            "jwks_uri": f"{self._settings.issuer}{JWKS_PATH}",
            "response_types_supported": [],
            "grant_types_supported": [],
        }
        return json_response(200, document, [_CACHEABLE])


def _caller(principal: Principal) -> tuple[UUID, UUID]:
    """The user and session that the gateway vouches for."""
    user_id, session_id = parse_id(principal.user_id), parse_id(principal.session_id)
    if user_id is None or session_id is None:
        raise Unauthenticated("Log in to do this.")
    return user_id, session_id


def _user_view(user: User) -> dict[str, Any]:
    return {
        "user_id": user.user_id,
        "email": user.email,
        "display_name": user.display_name,
        "roles": user.roles,
    }


def _token_response(tokens: Tokens) -> Response:
    document = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "session_id": tokens.session_id,
    }
    return json_response(200, document, [_NO_STORE])
