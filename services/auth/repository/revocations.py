"""Revocations in PostgreSQL."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from psycopg.rows import TupleRow

from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.revocations import REVOCATION_SLACK
from shared.db.database import Database
from shared.db.statements import every, execute

UNSENT_AT_ONCE = 1_000

_REVOKE = """
    INSERT INTO revocations (kind, name, revoked_at, expires_at)
    SELECT %(kind)s, name, moment, coalesce(%(until)s::timestamptz, moment + %(lifetime)s)
    FROM unnest(%(names)s::text[]) AS name, clock_timestamp() AS moment
    ON CONFLICT (kind, name) DO UPDATE SET
        revoked_at = greatest(revocations.revoked_at, excluded.revoked_at),
        expires_at = greatest(revocations.expires_at, excluded.expires_at),
        stored_at = NULL
    RETURNING kind, name, revoked_at, expires_at"""
_UNEXPIRED = "SELECT kind, name, revoked_at, expires_at FROM revocations WHERE expires_at > clock_timestamp()"
_NAMING = """
    SELECT kind, name, revoked_at, expires_at
    FROM revocations JOIN unnest(%s::text[], %s::text[]) AS names (kind, name) USING (kind, name)
    WHERE expires_at > clock_timestamp()"""
_UNSENT = _UNEXPIRED + f" AND stored_at IS NULL ORDER BY revoked_at LIMIT {UNSENT_AT_ONCE}"
_UNSENT_OF_USER = """
    SELECT kind, name, revoked_at, expires_at FROM revocations
    WHERE stored_at IS NULL AND expires_at > clock_timestamp() AND %s = CASE kind
        WHEN 'user' THEN name::uuid
        WHEN 'sid' THEN (SELECT user_id FROM sessions WHERE session_id = name::uuid)
    END"""  # the few unsent ones first, each session by primary key: without CASE, all sessions may be read
_MARK_STORED = """
    UPDATE revocations SET stored_at = clock_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS sent (kind, name, expires_at)
    WHERE revocations.kind = sent.kind AND revocations.name = sent.name
    AND revocations.expires_at = sent.expires_at AND stored_at IS NULL"""
_DROP_REVOCATIONS = "DELETE FROM revocations WHERE expires_at < clock_timestamp() AND stored_at IS NOT NULL"


class PostgresRevocationRepository:
    """The RevocationRepository of `revocations`; `lifetime` is how long a token made just now can be used."""

    def __init__(self, database: Database, lifetime: timedelta) -> None:
        self._database = database
        self._lifetime = lifetime

    async def revoke(self, kind: RevokedKind, names: Sequence[UUID | str]) -> Sequence[Revocation]:
        """Refused from now on. In the unit of work of whatever is the reason."""
        return await self._revoke(kind, [str(name) for name in names], None)

    async def is_token_revoked(self, token_id: str) -> bool:
        """The domain's TokenRevocations."""
        return bool(await self.naming({RevokedKind.TOKEN: token_id}))

    async def revoke_token(self, token_id: str, expires_at: datetime) -> Sequence[Revocation]:
        """In the caller's unit of work."""
        return await self._revoke(RevokedKind.TOKEN, [token_id], expires_at + REVOCATION_SLACK)

    async def naming(self, names: Mapping[RevokedKind, str]) -> list[Revocation]:
        """Those that concern one of `names`, by primary key."""
        columns = [[kind.value for kind in names], list(names.values())]
        return [_revocation(row) for row in await every(self._database, _NAMING, columns)]

    async def unexpired(self) -> Sequence[Revocation]:
        """Sent or not."""
        return [_revocation(row) for row in await every(self._database, _UNEXPIRED)]

    async def unsent(self) -> Sequence[Revocation]:
        """Up to UNSENT_AT_ONCE; normally none, which a partial index tells at once."""
        return [_revocation(row) for row in await every(self._database, _UNSENT)]

    async def unsent_of_user(self, user_id: UUID) -> Sequence[Revocation]:
        """Of the user and of all the user's sessions. In the unit of work of a revocation: with that one."""
        return [_revocation(row) for row in await every(self._database, _UNSENT_OF_USER, [user_id])]

    async def mark_stored(self, revocations: Sequence[Revocation]) -> None:
        """Only those that are still as they were sent: one that was prolonged meanwhile is sent again."""
        columns = zip(*((each.kind.value, each.name, each.expires_at) for each in revocations), strict=True)
        await execute(self._database, _MARK_STORED, [list(column) for column in columns])

    async def drop_expired(self) -> None:
        """Delete revocations that no token needs any more."""
        await execute(self._database, _DROP_REVOCATIONS)

    async def _revoke(
        self, kind: RevokedKind, names: Sequence[str], until: datetime | None
    ) -> Sequence[Revocation]:
        values = {"kind": kind, "names": names, "lifetime": self._lifetime, "until": until}
        return [_revocation(row) for row in await every(self._database, _REVOKE, values)]


def _revocation(row: TupleRow) -> Revocation:
    kind, name, revoked_at, expires_at = row
    return Revocation(RevokedKind(kind), name, revoked_at, expires_at)
