"""The standing of a token, read from PostgreSQL without locks.

The session is read before its revocations. Both only ever get worse, so what is good in the end was good at
the moment when the session was read.
"""

from uuid import UUID

from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.domain.sessions import Session
from services.auth.domain.standings import Standing
from services.auth.repository.accounts import user_of
from services.auth.repository.revocations import PostgresRevocationRepository
from shared.db.database import Database
from shared.db.statements import one

_FIND = """
    SELECT session_id, sessions.user_id, expires_at, ends_by, ended_at,
        users.user_id, email, display_name, roles, locked_at IS NOT NULL,
        clock_timestamp()
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
        session, user, now = Session(*row[:5]), user_of(row[5:-1]), row[-1]
        return Standing(session, user, await self._naming(session, token_id, key_id), now)

    async def _naming(self, session: Session, token_id: str, key_id: str) -> list[Revocation]:
        names = {
            RevokedKind.SESSION: str(session.session_id),
            RevokedKind.TOKEN: token_id,
            RevokedKind.USER: str(session.user_id),
            RevokedKind.KEY: key_id,
        }
        return await self._revocations.naming(names)
