"""Sessions over HTTP: logging in, refreshing, listing, ending."""

from typing import Any
from uuid import UUID

import msgspec

from services.auth.domain.sessions import LiveSession, LogoutScope, Origin, Tokens
from services.auth.handler.caller import caller
from services.auth.service.login import LoginService
from services.auth.service.refreshing import RefreshService
from services.auth.service.sessions import SessionService
from shared.http.decoding import path_id, read_json, read_query
from shared.http.messages import NO_STORE, Request, Response, json_response
from shared.http.paging import PageQuery, cursor_fault, page_document

MAX_DEVICE_CHARACTERS = 200


class LogInBody(msgspec.Struct):
    """What `POST /auth/login` takes; other members change nothing."""

    email: str
    password: str
    code: str = ""  # of the second factor, where there is one


class RefreshBody(msgspec.Struct):
    """What `POST /auth/refresh` takes; other members change nothing: the whole answer to a login will do."""

    refresh_token: str


class LogOutBody(msgspec.Struct, forbid_unknown_fields=True):
    """What `POST /auth/logout` takes, if anything."""

    scope: LogoutScope = LogoutScope.LOCAL


class SessionHandler:
    """One method a row."""

    def __init__(self, login: LoginService, refreshing: RefreshService, sessions: SessionService) -> None:
        self._login = login
        self._refreshing = refreshing
        self._sessions = sessions

    async def log_in(self, request: Request) -> Response:
        """A new session with its tokens."""
        body = await read_json(request, LogInBody)
        device = (request.headers.get("user-agent") or "")[:MAX_DEVICE_CHARACTERS]
        origin = Origin(device, request.client_address)
        tokens = await self._login.log_in(body.email, body.password, body.code, origin)
        return _token_response(tokens)

    async def refresh(self, request: Request) -> Response:
        """The next pair of tokens of a session."""
        body = await read_json(request, RefreshBody)
        return _token_response(await self._refreshing.refresh(body.refresh_token))

    async def log_out(self, request: Request) -> Response:
        """The end of this session, of all others, or of all."""
        user_id, session_id = caller(request.principal)
        body = LogOutBody() if request.body.length == 0 else await read_json(request, LogOutBody)
        await self._sessions.log_out(user_id, session_id, body.scope)
        return Response(204)

    async def browse(self, request: Request) -> Response:
        """A page of the caller's live sessions, newest first."""
        user_id, own = caller(request.principal)
        query = read_query(request, PageQuery, {"cursor": cursor_fault})
        page = await self._sessions.browse(user_id, query.after, query.limit)
        items = [_session_view(session, own) for session in page.sessions]
        return json_response(200, page_document(items, page.next), [NO_STORE])

    async def end(self, request: Request) -> Response:
        """The end of one of the caller's sessions."""
        user_id, _ = caller(request.principal)
        await self._sessions.end(user_id, path_id(request, "session_id", "There is no such session."))
        return Response(204)


def _session_view(session: LiveSession, own: UUID) -> dict[str, Any]:
    return {
        "session_id": session.session_id,
        "device": session.origin.device,
        "address": session.origin.address,
        "created_at": session.created_at,
        "last_used_at": session.last_used_at,
        "expires_at": session.expires_at,
        "current": session.session_id == own,
    }


def _token_response(tokens: Tokens) -> Response:
    document = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
        "session_id": tokens.session_id,
    }
    return json_response(200, document, [NO_STORE])
