"""The second factor: enrolling a phone, asking for its codes, taking it off again.

Every code is used up in the unit of work of what it allows: when that fails, the code is good again.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID

from services.auth.domain.accounts import AccountRepository
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.guessing import Proof
from services.auth.domain.second_factor import (
    Enrolment,
    NewSecret,
    OneTimeCodes,
    SecondFactorRepository,
    SecondFactorRequired,
    SecondFactorWrong,
    is_recovery_code,
    recovery_digest,
    tidy_code,
)
from services.auth.service.guessing import Guessing
from shared.errors import Conflict, FieldError, Invalid, NotFound, Unauthenticated


class SecondFactorService:
    """The domain's SecondFactor, and its owner's side. All raise Unavailable while what they need does."""

    def __init__(
        self,
        repository: SecondFactorRepository,
        accounts: AccountRepository,
        codes: OneTimeCodes,
        guessing: Guessing,
        audit: AuditLog,
    ) -> None:
        self._repository = repository
        self._accounts = accounts
        self._codes = codes
        self._guessing = guessing
        self._audit = audit

    async def enrol(self, user_id: UUID) -> NewSecret:
        """A secret, to be confirmed. Raises Conflict while one is confirmed."""
        async with self._repository.unit_of_work():
            held = await self._accounts.hold_user(user_id)
            if held is None:
                raise Unauthenticated("This account does not exist any more.")
            new = self._codes.new_secret(user_id, held[0].email)
            if not await self._repository.begin(user_id, new.sealed):
                raise _enabled_already()
        return new

    async def confirm(self, user_id: UUID, presented: str) -> Sequence[str]:
        """The phone has the secret, so it counts from now on; the recovery codes, which nobody sees again.

        Raises Invalid for a wrong code, NotFound where nothing waits to be confirmed, Conflict where it is
        confirmed already, TooManyRequests after too many wrong codes.
        """
        async with self._guess(user_id):
            enrolment, now = await self._held(user_id)
            if enrolment.is_confirmed:
                raise _enabled_already()
            if not await self._use_one_time_code(enrolment, tidy_code(presented), now):
                raise _wrong_code()
            recovery_codes = self._codes.new_recovery_codes()
            digests = [recovery_digest(user_id, tidy_code(code)) for code in recovery_codes]
            await self._repository.confirm(user_id, digests)
            await self._audit.write(AuditEntry(Event.SECOND_FACTOR_ENABLED, user_id))
        return recovery_codes

    async def disable(self, user_id: UUID, presented: str) -> None:
        """No second factor any more. Raises Invalid for a wrong code, NotFound, TooManyRequests."""
        async with self._guess(user_id):
            enrolment, now = await self._held(user_id)
            if not enrolment.is_confirmed:
                raise _none()
            if not await self._use(enrolment, tidy_code(presented), now):
                raise _wrong_code()
            await self._remove(user_id)

    async def remove(self, user_id: UUID) -> bool:
        """As `disable`, without a code: for an operator who knows that phone and codes are lost."""
        async with self._repository.unit_of_work():
            return await self._remove(user_id)

    async def demand(self, user_id: UUID, presented: str) -> None:
        """For a login, in its unit of work. Raises SecondFactorRequired, SecondFactorWrong."""
        held = await self._repository.hold(user_id)
        if held is None or not held[0].is_confirmed:
            return
        code = tidy_code(presented)
        if not code:
            raise SecondFactorRequired
        if not await self._use(held[0], code, held[1]):
            raise SecondFactorWrong

    @asynccontextmanager
    async def _guess(self, user_id: UUID) -> AsyncIterator[None]:
        """A unit of work in which a code is checked. A wrong one stays counted as a guess."""
        attempt = await self._guessing.admit_user(user_id, Proof.CODE)
        async with self._guessing.overload_taken_back(attempt):
            try:
                async with self._repository.unit_of_work():
                    yield
                    await self._guessing.succeeded(attempt)
            except (NotFound, Conflict):
                await self._guessing.take_back(attempt)  # there was nothing to guess at
                raise

    async def _held(self, user_id: UUID) -> tuple[Enrolment, datetime]:
        held = await self._repository.hold(user_id)
        if held is None:
            raise _none()
        return held

    async def _use(self, enrolment: Enrolment, code: str, now: datetime) -> bool:
        if is_recovery_code(code):
            return await self._use_recovery_code(enrolment.user_id, code)
        return await self._use_one_time_code(enrolment, code, now)

    async def _use_one_time_code(self, enrolment: Enrolment, code: str, now: datetime) -> bool:
        step = self._codes.step_of(enrolment, code, now)
        return step is not None and await self._repository.use_step(enrolment.user_id, step)

    async def _use_recovery_code(self, user_id: UUID, code: str) -> bool:
        if not await self._repository.use_recovery_code(user_id, recovery_digest(user_id, code)):
            return False
        await self._audit.write(AuditEntry(Event.RECOVERY_CODE_USED, user_id))
        return True

    async def _remove(self, user_id: UUID) -> bool:
        is_removed = await self._repository.remove(user_id)
        if is_removed:
            await self._audit.write(AuditEntry(Event.SECOND_FACTOR_DISABLED, user_id))
        return is_removed


def _enabled_already() -> Conflict:
    return Conflict("The second factor is enabled already.", code="second-factor-enabled")


def _none() -> NotFound:
    return NotFound("No second factor has been set up for this account.")


def _wrong_code() -> Invalid:
    wrong = FieldError("code", "Is wrong, or was used before")
    return Invalid("Some fields are not acceptable.", (wrong,))
