"""Accounts in PostgreSQL."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from uuid import UUID

from psycopg.rows import TupleRow

from services.auth.domain.accounts import ADMIN, User, email_key
from services.auth.domain.passwords import StoredPassword
from services.auth.domain.revocations import Revocation, RevokedKind
from services.auth.repository.revocations import PostgresRevocationRepository
from shared.db.database import Database
from shared.db.statements import every, execute, now, one

_ADD_USER = """
    INSERT INTO users (user_id, email, email_key, display_name, roles, password_hash)
    VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (email_key) DO NOTHING"""
_FIND_LOGIN = """
    SELECT user_id, email, display_name, roles, locked_at IS NOT NULL, password_hash, password_version
    FROM users WHERE email_key = %s"""
_SELECT_USER = "SELECT user_id, email, display_name, roles, locked_at IS NOT NULL FROM users"
_FIND_USER = _SELECT_USER + " WHERE user_id = %s"
_HOLD_USER = _FIND_USER + " FOR SHARE"
_LIST_USERS = _SELECT_USER + " ORDER BY user_id"
_HOLD_ALONE = _FIND_USER + " FOR UPDATE"
_OTHER_ADMIN = f"""
    SELECT FROM users WHERE '{ADMIN}' = ANY (roles) AND locked_at IS NULL AND user_id <> %s LIMIT 1"""
_SET_ROLES = "UPDATE users SET roles = %s WHERE user_id = %s"
_LOCK = "UPDATE users SET locked_at = coalesce(locked_at, clock_timestamp()) WHERE user_id = %s"
_UNLOCK = "UPDATE users SET locked_at = NULL WHERE user_id = %s"

_ADMINISTRATION_LOCK = 0x61646D696E  # any number, the same in every command of the operator


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

    async def find_login(self, email: str) -> tuple[User, StoredPassword] | None:
        """By the address in lower case."""
        row = await one(self._database, _FIND_LOGIN, [email_key(email)])
        return None if row is None else (user_of(row[:-2]), StoredPassword(*row[-2:]))

    async def find_user(self, user_id: UUID) -> User | None:
        """By primary key."""
        row = await one(self._database, _FIND_USER, [user_id])
        return None if row is None else user_of(row)

    async def list_users(self) -> Sequence[User]:
        """In order of creation, which their identifiers have."""
        return [user_of(row) for row in await every(self._database, _LIST_USERS)]

    async def hold_user(self, user_id: UUID) -> tuple[User, datetime] | None:
        """Shared: logins of one user do not wait for each other."""
        return await hold_user(self._database, user_id)

    # What the operator does

    @asynccontextmanager
    async def administration(self) -> AsyncIterator[None]:
        """An advisory lock, taken before any row's, that ends with the transaction."""
        async with self._database.transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_ADMINISTRATION_LOCK])
            yield

    async def hold_user_alone(self, user_id: UUID) -> User | None:
        """The row's lock makes logins and refreshes wait; a cut-off that is taken behind it is later."""
        row = await one(self._database, _HOLD_ALONE, [user_id])
        return None if row is None else user_of(row)

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Within `administration`, where nobody takes that one away."""
        return await one(self._database, _OTHER_ADMIN, [user_id]) is not None

    async def set_roles(self, user_id: UUID, roles: Sequence[str]) -> None:
        """In the unit of work that holds the user alone."""
        await execute(self._database, _SET_ROLES, [list(roles), user_id])
        await self._revocations.revoke(RevokedKind.USER, [user_id])

    async def lock_user(self, user_id: UUID) -> None:
        """In the unit of work that holds the user alone."""
        await execute(self._database, _LOCK, [user_id])
        await self._revocations.revoke(RevokedKind.USER, [user_id])

    async def unlock_user(self, user_id: UUID) -> None:
        """In the unit of work that holds the user alone."""
        await execute(self._database, _UNLOCK, [user_id])

    async def unsent_revocations(self, user_id: UUID) -> Sequence[Revocation]:
        """In the unit of work of a revocation: with that one."""
        return await self._revocations.unsent_of_user(user_id)


async def hold_user(database: Database, user_id: UUID) -> tuple[User, datetime] | None:
    """The account, its row locked (shared), and the time behind the lock."""
    row = await one(database, _HOLD_USER, [user_id])
    return None if row is None else (user_of(row), await now(database))


def user_of(row: TupleRow) -> User:
    """From the columns user_id, email, display_name, roles, and whether it is locked."""
    user_id, email, display_name, roles, is_locked = row
    return User(user_id, email, display_name, tuple(roles), is_locked)
