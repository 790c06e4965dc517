"""Signing keys in PostgreSQL.

Whoever changes keys holds one advisory lock for it; who only reads them waits for nobody. Retired and revoked
ones stay, so that the audit table's entries keep their meaning.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from psycopg.types.json import Jsonb

from services.auth.domain.keys import StoredKey
from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.repository.revocations import PostgresRevocationRepository
from shared.db.database import Database
from shared.db.statements import every, execute, now

# Whoever has a private key signs tokens that expire whenever they like; they are refused for as long as some
# gateway may be without a newer JWK Set, and that should never be as long as this.
REVOKED_FOR = timedelta(days=365)

_KEYS_LOCK = 0x6B657973  # any number, the same in every auth server

_ALL_KEYS = """
    SELECT key_id, algorithm, public_jwk, sealed_private, signs_from, signs_until, published_until, revoked_at
    FROM signing_keys"""
_PUBLISHED = """
    WHERE revoked_at IS NULL AND (published_until IS NULL OR published_until > clock_timestamp())"""
_IN_ORDER = " ORDER BY signs_from, key_id"
_ADD_KEY = """
    INSERT INTO signing_keys (key_id, algorithm, public_jwk, sealed_private, signs_from)
    VALUES (%s, %s, %s, %s, %s)"""
_SET_TIMES = """
    UPDATE signing_keys SET signs_from = %s, signs_until = %s, published_until = %s, revoked_at = %s
    WHERE key_id = %s"""


class PostgresKeyRepository:
    """The domain's KeyRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._revocations = PostgresRevocationRepository(database, REVOKED_FOR)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """An advisory lock that ends with the transaction."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_KEYS_LOCK])
            yield

    async def published_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """In the order in which they sign."""
        return await self._select(_ALL_KEYS + _PUBLISHED + _IN_ORDER)

    async def all_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """In the same order."""
        return await self._select(_ALL_KEYS + _IN_ORDER)

    async def add_key(self, key: StoredKey) -> None:
        """In the caller's unit of work."""
        values = (key.key_id, key.algorithm, Jsonb(key.public_jwk), key.sealed_private, key.signs_from)
        await execute(self._database, _ADD_KEY, values)

    async def set_times(self, key: StoredKey) -> None:
        """In the caller's unit of work."""
        times = (key.signs_from, key.signs_until, key.published_until, key.revoked_at)
        await execute(self._database, _SET_TIMES, (*times, key.key_id))

    async def revoke_tokens_of(self, key_id: str) -> Sequence[Revocation]:
        """In the caller's unit of work."""
        return await self._revocations.revoke(RevokedKind.KEY, [key_id])

    async def _select(self, query: str) -> tuple[Sequence[StoredKey], datetime]:
        keys = [StoredKey(*row) for row in await every(self._database, query)]
        return keys, await now(self._database)
