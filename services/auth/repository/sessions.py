"""Sessions and their refresh tokens in PostgreSQL."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.revocations import RevokedKind
from services.auth.domain.sessions import Ended, LiveSession, Origin, RefreshToken, Session
from services.auth.repository.accounts import hold_user
from services.auth.repository.revocations import PostgresRevocationRepository
from shared.db.database import Database
from shared.db.statements import every, execute, now, one

SESSIONS_KEPT = timedelta(days=30)  # after their end, for whoever asks what happened

_ADD_SESSION = """
    INSERT INTO sessions (session_id, user_id, device, address, expires_at, ends_by)
    VALUES (%s, %s, %s, %s, %s, %s)"""
_FIND_SESSION = """
    SELECT session_id, user_id, expires_at, ends_by, ended_at FROM sessions WHERE session_id = %s"""
_HOLD_SESSION = _FIND_SESSION + " FOR UPDATE"
_USE_SESSION = "UPDATE sessions SET last_used_at = clock_timestamp(), expires_at = %s WHERE session_id = %s"
_LIVE_SESSIONS = """
    SELECT session_id, device, address, created_at, last_used_at, expires_at FROM sessions
    WHERE user_id = %(user_id)s AND ended_at IS NULL AND expires_at > clock_timestamp()
    AND (%(after)s::uuid IS NULL OR session_id < %(after)s)
    ORDER BY session_id DESC LIMIT %(limit)s"""
_END_SESSION = """
    UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %s
    WHERE session_id = %s AND ended_at IS NULL"""
_HOLD_SESSIONS = """
    SELECT FROM sessions WHERE user_id = %s AND ended_at IS NULL ORDER BY session_id FOR UPDATE"""
_HOLD_LOGINS = "SELECT FROM users WHERE user_id = %s FOR UPDATE"
_END_SESSIONS = """
    UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %s
    WHERE user_id = %s AND ended_at IS NULL AND session_id IS DISTINCT FROM %s
    RETURNING session_id, expires_at > ended_at"""

_ADD_REFRESH = "INSERT INTO refresh_tokens (digest, session_id) VALUES (%s, %s)"
_FIND_REFRESH = """
    SELECT token.digest, token.used_at, token.sealed_successor, successor.used_at IS NOT NULL
    FROM refresh_tokens AS token LEFT JOIN refresh_tokens AS successor ON successor.digest = token.successor
    WHERE token.digest = %s AND token.session_id = %s"""
_USE_REFRESH = """
    UPDATE refresh_tokens SET used_at = %s, successor = %s, sealed_successor = %s
    WHERE digest = %s AND used_at IS NULL"""

_ERASE_SEALED = """
    UPDATE refresh_tokens SET sealed_successor = NULL
    WHERE sealed_successor IS NOT NULL AND used_at < clock_timestamp() - %s::interval"""
_DROP_SESSIONS = "DELETE FROM sessions WHERE expires_at < clock_timestamp() - %s::interval"


class PostgresSessionRepository:
    """The domain's SessionRepository."""

    def __init__(self, database: Database, revocations: PostgresRevocationRepository) -> None:
        self._database = database
        self._revocations = revocations

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def add_session(self, session: Session, origin: Origin, token: RefreshToken) -> None:
        """In the caller's unit of work."""
        keys, ends = (session.session_id, session.user_id), (session.expires_at, session.ends_by)
        await execute(self._database, _ADD_SESSION, (*keys, origin.device, origin.address, *ends))
        await execute(self._database, _ADD_REFRESH, (token.digest, session.session_id))

    async def find_session(self, session_id: UUID) -> Session | None:
        """By primary key."""
        row = await one(self._database, _FIND_SESSION, [session_id])
        return None if row is None else Session(*row)

    async def hold_session(self, session_id: UUID) -> tuple[Session, User, datetime] | None:
        """The session's row is ours alone, its user's shared; whose it is never changes."""
        found = await self.find_session(session_id)
        held = None if found is None else await hold_user(self._database, found.user_id)
        row = await one(self._database, _HOLD_SESSION, [session_id])
        if held is None or row is None:
            return None
        return Session(*row), held[0], await now(self._database)

    async def find_refresh_token(self, session_id: UUID, digest: bytes) -> RefreshToken | None:
        """By primary key, with what became of its successor."""
        row = await one(self._database, _FIND_REFRESH, [digest, session_id])
        return None if row is None else RefreshToken(*row)

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """In the unit of work that holds the session."""
        await execute(self._database, _ADD_REFRESH, (successor.digest, session.session_id))
        change = (used.used_at, successor.digest, used.sealed_successor, used.digest)
        await execute(self._database, _USE_REFRESH, change)
        await execute(self._database, _USE_SESSION, (session.expires_at, session.session_id))

    async def live_sessions(self, user_id: UUID, after: UUID | None, limit: int) -> Sequence[LiveSession]:
        """In the order of their identifiers, which is the order in which they were made."""
        values = {"user_id": user_id, "after": after, "limit": limit}
        rows = await every(self._database, _LIVE_SESSIONS, values)
        return [LiveSession(row[0], Origin(row[1], row[2]), *row[3:]) for row in rows]

    async def end_session(self, session_id: UUID, user_id: UUID, reason: str) -> Ended | None:
        """Waits for a refresh that holds the session."""
        held = await self.hold_session(session_id)
        if held is None or held[0].user_id != user_id:
            return None
        session, _, now = held
        if await execute(self._database, _END_SESSION, [reason, session_id]):
            await self._revocations.revoke(RevokedKind.SESSION, [session_id])
        return Ended(int(session.is_live(now)), await self._revocations.unsent_of_user(user_id))

    async def end_sessions(self, user_id: UUID, reason: str, *, spared: UUID | None = None) -> Ended:
        """Waits for refreshes and for logins, so that no session slips through."""
        await execute(self._database, _HOLD_LOGINS, [user_id])
        await execute(self._database, _HOLD_SESSIONS, [user_id])
        ended = await every(self._database, _END_SESSIONS, [reason, user_id, spared])
        await self._revocations.revoke(RevokedKind.SESSION, [session_id for session_id, _ in ended])
        live = sum(was_live for _, was_live in ended)
        return Ended(live, await self._revocations.unsent_of_user(user_id))

    async def erase_sealed_successors(self, grace: timedelta) -> None:
        """Forget what lost answers said, once nobody may ask for them again."""
        await execute(self._database, _ERASE_SEALED, [grace])

    async def drop_expired(self) -> None:
        """Delete sessions that expired long ago."""
        await execute(self._database, _DROP_SESSIONS, [SESSIONS_KEPT])
