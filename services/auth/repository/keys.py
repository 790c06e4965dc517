"""Signing keys in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from psycopg.types.json import Jsonb

from services.auth.repository.statements import every, execute, now
from services.auth.signing_keys import StoredKey
from shared.db.database import Database

_KEYS_LOCK = 0x6B657973  # any number, the same in every auth server

_PUBLISHED_KEYS = """
    SELECT key_id, algorithm, public_jwk, sealed_private, signs_from, signs_until FROM signing_keys
    WHERE revoked_at IS NULL AND (published_until IS NULL OR published_until > clock_timestamp())
    ORDER BY signs_from, key_id"""
_ADD_KEY = """
    INSERT INTO signing_keys (key_id, algorithm, public_jwk, sealed_private, signs_from, signs_until)
    VALUES (%s, %s, %s, %s, %s, %s)"""


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
        keys = [StoredKey(*row) for row in await every(self._database, _PUBLISHED_KEYS)]
        return keys, await now(self._database)

    async def add_key(self, key: StoredKey) -> None:
        """In the caller's unit of work."""
        material = (Jsonb(key.public_jwk), key.sealed_private)
        await execute(
            self._database, _ADD_KEY, (key.key_id, key.algorithm, *material, key.signs_from, key.signs_until)
        )
