"""The standing of a token, read from PostgreSQL without locks.

The session is read before its revocations. Both only ever get worse, so what is good in the end was good at
the moment when the session was read.
"""

from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.inspection import Standing
from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.domain.sessions import Session
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.statements import one
from shared.db.database import Database

_FIND = """
    SELECT clock_timestamp(), session_id, user_id, expires_at, ends_by, ended_at,
        email, display_name, roles, locked_at IS NOT NULL
    FROM sessions JOIN users USING (user_id) WHERE session_id = %s"""


class PostgresStandingRepository:
    """The domain's StandingRepository."""

    def __init__(self, database: Database, revocations: PostgresRevocationRepository) -> None:
        self._database = database
        self._revocations = revocations

    async def find_standing(self, session_id: UUID, token_id: str, key_id: str) -> Standing | None:
        """Two reads by primary key."""
        row = await one(self._database, _FIND, [session_id])
        if row is None:
            return None
        now, _, user_id, expires_at, ends_by, ended_at, *account = row
        session = Session(session_id, user_id, expires_at, ends_by, ended_at)
        revocations = await self._naming(session, token_id, key_id)
        return Standing(session, _user(user_id, *account), revocations, now)

    async def _naming(self, session: Session, token_id: str, key_id: str) -> list[Revocation]:
        names = {
            RevokedKind.SESSION: str(session.session_id),
            RevokedKind.TOKEN: token_id,
            RevokedKind.USER: str(session.user_id),
            RevokedKind.KEY: key_id,
        }
        return await self._revocations.naming(names)


def _user(user_id: UUID, email: str, display_name: str, roles: list[str], is_locked: bool) -> User:
    return User(user_id, email, display_name, tuple(roles), is_locked)
