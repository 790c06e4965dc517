"""Second factors in PostgreSQL."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from uuid import UUID

from services.auth.domain.second_factor import Enrolment
from shared.db.database import Database
from shared.db.statements import execute, now, one

_BEGIN = """
    INSERT INTO totp (user_id, sealed_secret) VALUES (%s, %s)
    ON CONFLICT (user_id) DO UPDATE
    SET sealed_secret = excluded.sealed_secret, created_at = excluded.created_at
    WHERE totp.confirmed_at IS NULL"""
_HOLD = "SELECT user_id, sealed_secret, confirmed_at IS NOT NULL FROM totp WHERE user_id = %s FOR UPDATE"
_USE_STEP = "UPDATE totp SET last_step = %s WHERE user_id = %s AND last_step < %s"
_CONFIRM = "UPDATE totp SET confirmed_at = clock_timestamp() WHERE user_id = %s"
_ADD_RECOVERY_CODES = "INSERT INTO recovery_codes (user_id, digest) SELECT %s, unnest(%s::bytea[])"
_USE_RECOVERY_CODE = """
    UPDATE recovery_codes SET used_at = clock_timestamp()
    WHERE user_id = %s AND digest = %s AND used_at IS NULL"""
_REMOVE = "DELETE FROM totp WHERE user_id = %s"


class PostgresSecondFactorRepository:
    """The domain's SecondFactorRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def begin(self, user_id: UUID, sealed_secret: bytes) -> bool:
        """The primary key decides between a new secret and a confirmation at the same moment."""
        return await execute(self._database, _BEGIN, [user_id, sealed_secret]) == 1

    async def hold(self, user_id: UUID) -> tuple[Enrolment, datetime] | None:
        """Recovery codes have no lock of their own: this row, locked before them, is the lock for all."""
        row = await one(self._database, _HOLD, [user_id])
        return None if row is None else (Enrolment(*row), await now(self._database))

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Of many with one code, only the first finds the row as it expects it."""
        return await execute(self._database, _USE_STEP, [step, user_id, step]) == 1

    async def confirm(self, user_id: UUID, recovery_digests: Sequence[bytes]) -> None:
        """In the unit of work that holds the enrolment."""
        await execute(self._database, _CONFIRM, [user_id])
        await execute(self._database, _ADD_RECOVERY_CODES, [user_id, list(recovery_digests)])

    async def use_recovery_code(self, user_id: UUID, digest: bytes) -> bool:
        """Of many with one code, only the first finds it unused."""
        return await execute(self._database, _USE_RECOVERY_CODE, [user_id, digest]) == 1

    async def remove(self, user_id: UUID) -> bool:
        """The recovery codes go with it."""
        return await execute(self._database, _REMOVE, [user_id]) == 1
