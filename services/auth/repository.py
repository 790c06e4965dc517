"""Accounts, sessions, keys and revocations in PostgreSQL: rows ↔ domain.

Rows are always locked in the same order, sessions before their user, and the time of a decision is read after
its locks were granted. So whoever revokes something at a time T has waited for every token that was being
made, and every token made afterwards is later than T.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from services.auth.domain import (
    Origin,
    RefreshToken,
    Revocation,
    RevokedKind,
    Session,
    User,
    email_key,
)
from services.auth.signing_keys import StoredKey
from shared.db.database import Database

SESSIONS_KEPT = timedelta(days=30)  # after their end, for whoever asks what happened
UNSENT_AT_ONCE = 1_000
_KEYS_LOCK = 0x6B657973  # any number, the same in every auth server

_ADD_USER = """
    INSERT INTO users (user_id, email, email_key, display_name, roles, password_hash)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (email_key) DO NOTHING"""
_FIND_LOGIN = """
    SELECT user_id, email, display_name, roles, locked_at IS NOT NULL, password_hash
    FROM users WHERE email_key = %s"""
_SELECT_USER = "SELECT user_id, email, display_name, roles, locked_at IS NOT NULL FROM users"
_FIND_USER = _SELECT_USER + " WHERE user_id = %s"
_HOLD_USER = _FIND_USER + " FOR SHARE"
_LIST_USERS = _SELECT_USER + " ORDER BY user_id"
_SET_ROLES = "UPDATE users SET roles = %s WHERE user_id = %s"

_ADD_SESSION = """
    INSERT INTO sessions (session_id, user_id, device, address, expires_at, ends_by)
    VALUES (%s, %s, %s, %s, %s, %s)"""
_HOLD_SESSION = """
    SELECT session_id, user_id, expires_at, ends_by, ended_at
    FROM sessions WHERE session_id = %s FOR UPDATE"""
_USE_SESSION = "UPDATE sessions SET last_used_at = clock_timestamp(), expires_at = %s WHERE session_id = %s"
_END_SESSION = """
    UPDATE sessions
    SET ended_at = coalesce(ended_at, clock_timestamp()), end_reason = coalesce(end_reason, %s)
    WHERE session_id = %s AND user_id = %s RETURNING session_id"""
_HOLD_SESSIONS = """
    SELECT FROM sessions WHERE user_id = %s AND ended_at IS NULL ORDER BY session_id FOR UPDATE"""
_HOLD_LOGINS = "SELECT FROM users WHERE user_id = %s FOR UPDATE"
_END_SESSIONS = """
    UPDATE sessions SET ended_at = clock_timestamp(), end_reason = %s
    WHERE user_id = %s AND ended_at IS NULL AND session_id IS DISTINCT FROM %s RETURNING session_id"""

_ADD_REFRESH = "INSERT INTO refresh_tokens (digest, session_id) VALUES (%s, %s)"
_FIND_REFRESH = """
    SELECT token.digest, token.used_at, token.sealed_successor, successor.used_at IS NOT NULL
    FROM refresh_tokens AS token LEFT JOIN refresh_tokens AS successor ON successor.digest = token.successor
    WHERE token.digest = %s AND token.session_id = %s"""
_USE_REFRESH = """
    UPDATE refresh_tokens SET used_at = %s, successor = %s, sealed_successor = %s
    WHERE digest = %s AND used_at IS NULL"""

_REVOKE = """
    INSERT INTO revocations (kind, name, revoked_at, expires_at)
    SELECT %(kind)s, name, moment, moment + %(lifetime)s
    FROM unnest(%(names)s::text[]) AS name, clock_timestamp() AS moment
    ON CONFLICT (kind, name) DO UPDATE SET
        revoked_at = greatest(revocations.revoked_at, excluded.revoked_at),
        expires_at = greatest(revocations.expires_at, excluded.expires_at),
        stored_at = NULL
    RETURNING kind, name, revoked_at, expires_at"""
_UNEXPIRED = "SELECT kind, name, revoked_at, expires_at FROM revocations WHERE expires_at > clock_timestamp()"
_UNSENT = _UNEXPIRED + f" AND stored_at IS NULL ORDER BY revoked_at LIMIT {UNSENT_AT_ONCE}"
_MARK_STORED = """
    UPDATE revocations SET stored_at = clock_timestamp()
    FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS sent (kind, name, expires_at)
    WHERE revocations.kind = sent.kind AND revocations.name = sent.name
    AND revocations.expires_at = sent.expires_at AND stored_at IS NULL"""

_PUBLISHED_KEYS = """
    SELECT key_id, algorithm, public_jwk, sealed_private, signs_from, signs_until FROM signing_keys
    WHERE revoked_at IS NULL AND (published_until IS NULL OR published_until > clock_timestamp())
    ORDER BY signs_from, key_id"""
_ADD_KEY = """
    INSERT INTO signing_keys (key_id, algorithm, public_jwk, sealed_private, signs_from, signs_until)
    VALUES (%s, %s, %s, %s, %s, %s)"""

_ERASE_SEALED = """
    UPDATE refresh_tokens SET sealed_successor = NULL
    WHERE sealed_successor IS NOT NULL AND used_at < clock_timestamp() - %s::interval"""
_DROP_REVOCATIONS = "DELETE FROM revocations WHERE expires_at < clock_timestamp() AND stored_at IS NOT NULL"
_DROP_SESSIONS = "DELETE FROM sessions WHERE expires_at < clock_timestamp() - %s::interval"


class PostgresAccountRepository:
    """The domain's AccountRepository. `revocation_lifetime` is how long a token made just now can be used."""

    def __init__(self, database: Database, revocation_lifetime: timedelta) -> None:
        self._database = database
        self._revocation_lifetime = revocation_lifetime

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def add_user(self, user: User, password_hash: str) -> bool:
        """The unique key decides between two who want the same address at once."""
        key, roles = email_key(user.email), list(user.roles)
        values = (user.user_id, user.email, key, user.display_name, roles, password_hash)
        return await _execute(self._database, _ADD_USER, values) == 1

    async def find_login(self, email: str) -> tuple[User, str] | None:
        """By the address in lower case."""
        row = await _one(self._database, _FIND_LOGIN, [email_key(email)])
        return None if row is None else (_user(row[:-1]), row[-1])

    async def find_user(self, user_id: UUID) -> User | None:
        """By primary key."""
        row = await _one(self._database, _FIND_USER, [user_id])
        return None if row is None else _user(row)

    async def list_users(self) -> Sequence[User]:
        """In order of creation, which their identifiers have."""
        return [_user(row) for row in await _all(self._database, _LIST_USERS)]

    async def hold_user(self, user_id: UUID) -> tuple[User, datetime] | None:
        """Shared: logins of one user do not wait for each other."""
        row = await _one(self._database, _HOLD_USER, [user_id])
        return None if row is None else (_user(row), await _now(self._database))

    async def set_roles(self, user_id: UUID, roles: Sequence[str]) -> Sequence[Revocation]:
        """The row's lock makes logins and refreshes wait; the cut-off is taken behind it."""
        await _execute(self._database, _SET_ROLES, [list(roles), user_id])
        return await self._revoke(RevokedKind.USER, [user_id])

    async def add_session(self, session: Session, origin: Origin, token: RefreshToken) -> None:
        """In the caller's unit of work."""
        keys, ends = (session.session_id, session.user_id), (session.expires_at, session.ends_by)
        await _execute(self._database, _ADD_SESSION, (*keys, origin.device, origin.address, *ends))
        await _execute(self._database, _ADD_REFRESH, (token.digest, session.session_id))

    async def hold_session(self, session_id: UUID) -> tuple[Session, User, datetime] | None:
        """The session's row is ours alone, its user's shared."""
        row = await _one(self._database, _HOLD_SESSION, [session_id])
        if row is None:
            return None
        session = Session(*row)
        held = await self.hold_user(session.user_id)
        return None if held is None else (session, *held)

    async def find_refresh_token(self, session_id: UUID, digest: bytes) -> RefreshToken | None:
        """By primary key, with what became of its successor."""
        row = await _one(self._database, _FIND_REFRESH, [digest, session_id])
        return None if row is None else RefreshToken(*row)

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """In the unit of work that holds the session."""
        await _execute(self._database, _ADD_REFRESH, (successor.digest, session.session_id))
        change = (used.used_at, successor.digest, used.sealed_successor, used.digest)
        await _execute(self._database, _USE_REFRESH, change)
        await _execute(self._database, _USE_SESSION, (session.expires_at, session.session_id))

    async def end_session(self, session_id: UUID, user_id: UUID, reason: str) -> Sequence[Revocation]:
        """Waits for a refresh that holds the session."""
        ended = await _all(self._database, _END_SESSION, [reason, session_id, user_id])
        return await self._revoke(RevokedKind.SESSION, [row[0] for row in ended])

    async def end_sessions(
        self, user_id: UUID, reason: str, *, spared: UUID | None = None
    ) -> Sequence[Revocation]:
        """Waits for refreshes and for logins, so that no session slips through."""
        await _execute(self._database, _HOLD_SESSIONS, [user_id])
        await _execute(self._database, _HOLD_LOGINS, [user_id])
        ended = await _all(self._database, _END_SESSIONS, [reason, user_id, spared])
        return await self._revoke(RevokedKind.SESSION, [row[0] for row in ended])

    async def erase_sealed_successors(self, grace: timedelta) -> None:
        """Forget what lost answers said, once nobody may ask for them again."""
        await _execute(self._database, _ERASE_SEALED, [grace])

    async def drop_what_is_over(self) -> None:
        """Delete revocations that no token needs any more, and sessions that expired long ago."""
        await _execute(self._database, _DROP_REVOCATIONS)
        await _execute(self._database, _DROP_SESSIONS, [SESSIONS_KEPT])

    async def _revoke(self, kind: RevokedKind, names: Sequence[UUID]) -> Sequence[Revocation]:
        values = {"kind": kind, "names": [str(name) for name in names], "lifetime": self._revocation_lifetime}
        return [_revocation(row) for row in await _all(self._database, _REVOKE, values)]


class PostgresRevocationRepository:
    """The RevocationRepository of `revocations`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def unexpired(self) -> Sequence[Revocation]:
        """Sent or not."""
        return [_revocation(row) for row in await _all(self._database, _UNEXPIRED)]

    async def unsent(self) -> Sequence[Revocation]:
        """Up to UNSENT_AT_ONCE; normally none, which a partial index tells at once."""
        return [_revocation(row) for row in await _all(self._database, _UNSENT)]

    async def mark_stored(self, revocations: Sequence[Revocation]) -> None:
        """Only those that are still as they were sent: one that was prolonged meanwhile is sent again."""
        columns = zip(*((each.kind.value, each.name, each.expires_at) for each in revocations), strict=True)
        await _execute(self._database, _MARK_STORED, [list(column) for column in columns])


class PostgresKeyRepository:
    """The KeyRepository of `signing_keys`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """An advisory lock that ends with the transaction."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_KEYS_LOCK])
            yield

    async def published_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """In the order in which they sign."""
        keys = [StoredKey(*row) for row in await _all(self._database, _PUBLISHED_KEYS)]
        return keys, await _now(self._database)

    async def add_key(self, key: StoredKey) -> None:
        """In the caller's unit of work."""
        material = (Jsonb(key.public_jwk), key.sealed_private)
        await _execute(
            self._database, _ADD_KEY, (key.key_id, key.algorithm, *material, key.signs_from, key.signs_until)
        )


# Statements

Values = Sequence[object] | dict[str, object]


async def _execute(database: Database, statement: str, values: Values = ()) -> int:
    """How many rows it concerned."""
    async with database.connection() as connection:
        return (await _cursor(connection, statement, values)).rowcount


async def _one(database: Database, query: str, values: Values = ()) -> TupleRow | None:
    async with database.connection() as connection:
        return await (await _cursor(connection, query, values)).fetchone()


async def _all(database: Database, query: str, values: Values = ()) -> list[TupleRow]:
    async with database.connection() as connection:
        return await (await _cursor(connection, query, values)).fetchall()


async def _cursor(connection: Any, statement: str, values: Values) -> psycopg.AsyncCursor[TupleRow]:
    cursor: psycopg.AsyncCursor[TupleRow] = await connection.execute(statement, values)
    return cursor


async def _now(database: Database) -> datetime:
    """The database's clock, which all auth servers share."""
    row = await _one(database, "SELECT clock_timestamp()")
    assert row is not None
    now: datetime = row[0]
    return now


def _user(row: TupleRow) -> User:
    user_id, email, display_name, roles, is_locked = row
    return User(user_id, email, display_name, tuple(roles), is_locked)


def _revocation(row: TupleRow) -> Revocation:
    kind, name, revoked_at, expires_at = row
    return Revocation(RevokedKind(kind), name, revoked_at, expires_at)
