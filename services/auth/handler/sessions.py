"""Logging in, refreshing, logging out over HTTP."""

import msgspec

from services.auth.domain.sessions import LogoutScope, Origin, Tokens
from services.auth.handler.caller import NO_STORE, caller
from services.auth.service.login import LoginService
from services.auth.service.sessions import SessionService
from shared.http.decoding import read_json
from shared.http.messages import Request, Response, json_response

MAX_DEVICE_CHARACTERS = 200


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


class SessionHandler:
    """One method a row."""

    def __init__(self, login: LoginService, sessions: SessionService) -> None:
        self._login = login
        self._sessions = sessions

    async def log_in(self, request: Request) -> Response:
        """A new session with its tokens."""
        body = await read_json(request, LogInBody)
        device = (request.headers.get("user-agent") or "")[:MAX_DEVICE_CHARACTERS]
        tokens = await self._login.log_in(body.email, body.password, Origin(device, request.client_address))
        return _token_response(tokens)

    async def refresh(self, request: Request) -> Response:
        """The next pair of tokens of a session."""
        body = await read_json(request, RefreshBody)
        return _token_response(await self._sessions.refresh(body.refresh_token))

    async def log_out(self, request: Request) -> Response:
        """The end of this session, of all others, or of all."""
        user_id, session_id = caller(request.principal)
        body = LogOutBody() if request.body.length == 0 else await read_json(request, LogOutBody)
        await self._sessions.log_out(user_id, session_id, body.scope)
        return Response(204)


def _token_response(tokens: Tokens) -> Response:
    document = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "session_id": tokens.session_id,
    }
    return json_response(200, document, [NO_STORE])
