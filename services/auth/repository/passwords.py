"""Passwords' hashes in PostgreSQL."""

from uuid import UUID

from services.auth.domain.passwords import StoredPassword
from shared.db.database import Database
from shared.db.statements import execute, one

_FIND = "SELECT password_hash, password_version FROM users WHERE user_id = %s"
_IS_UNCHANGED = "SELECT FROM users WHERE user_id = %s AND password_version = %s"
_REHASH = "UPDATE users SET password_hash = %s WHERE user_id = %s AND password_hash = %s"
_CHANGE = "UPDATE users SET password_hash = %s, password_version = password_version + 1 WHERE user_id = %s"


class PostgresPasswordRepository:
    """The domain's PasswordRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, user_id: UUID) -> StoredPassword | None:
        """Hash and version of one moment."""
        row = await one(self._database, _FIND, [user_id])
        return None if row is None else StoredPassword(*row)

    async def is_unchanged(self, user_id: UUID, since: StoredPassword) -> bool:
        """By version: the hash alone may have been renewed by another login."""
        return await one(self._database, _IS_UNCHANGED, [user_id, since.version]) is not None

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Compares and replaces in one statement, so that it never brings an old password back."""
        await execute(self._database, _REHASH, [new_hash, user_id, old_hash])

    async def change(self, user_id: UUID, new_hash: str) -> None:
        """Whoever has read the old version finds out."""
        await execute(self._database, _CHANGE, [new_hash, user_id])
