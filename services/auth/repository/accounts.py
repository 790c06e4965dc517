"""Accounts in PostgreSQL."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from services.auth.domain.accounts import User, email_key
from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.repository.revocations import PostgresRevocationRepository
from services.auth.repository.statements import every, execute, now, one
from shared.db.database import Database

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


class PostgresAccountRepository:
    """The domain's AccountRepository."""

    def __init__(self, database: Database, revocations: PostgresRevocationRepository) -> None:
        self._database = database
        self._revocations = revocations

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def add_user(self, user: User, password_hash: str) -> bool:
        """The unique key decides between two who want the same address at once."""
        key, roles = email_key(user.email), list(user.roles)
        values = (user.user_id, user.email, key, user.display_name, roles, password_hash)
        return await execute(self._database, _ADD_USER, values) == 1

    async def find_login(self, email: str) -> tuple[User, str] | None:
        """By the address in lower case."""
        row = await one(self._database, _FIND_LOGIN, [email_key(email)])
        return None if row is None else (_user(row[:-1]), row[-1])

    async def find_user(self, user_id: UUID) -> User | None:
        """By primary key."""
        row = await one(self._database, _FIND_USER, [user_id])
        return None if row is None else _user(row)

    async def list_users(self) -> Sequence[User]:
        """In order of creation, which their identifiers have."""
        return [_user(row) for row in await every(self._database, _LIST_USERS)]

    async def hold_user(self, user_id: UUID) -> tuple[User, datetime] | None:
        """Shared: logins of one user do not wait for each other."""
        return await hold_user(self._database, user_id)

    async def set_roles(self, user_id: UUID, roles: Sequence[str]) -> Sequence[Revocation]:
        """The row's lock makes logins and refreshes wait; the cut-off is taken behind it."""
        await execute(self._database, _SET_ROLES, [list(roles), user_id])
        return await self._revocations.revoke(RevokedKind.USER, [user_id])


async def hold_user(database: Database, user_id: UUID) -> tuple[User, datetime] | None:
    """The account, its row locked (shared), and the time behind the lock."""
    row = await one(database, _HOLD_USER, [user_id])
    return None if row is None else (_user(row), await now(database))


def _user(row: TupleRow) -> User:
    user_id, email, display_name, roles, is_locked = row
    return User(user_id, email, display_name, tuple(roles), is_locked)
