"""Who gets a session."""

from contextlib import suppress
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.guessing import Attempt
from services.auth.domain.passwords import Passwords, StoredPassword
from services.auth.domain.second_factor import SecondFactor, SecondFactorRequired, SecondFactorWrong
from services.auth.domain.sessions import (
    Origin,
    RefreshToken,
    Session,
    SessionLifetimes,
    TokenMaker,
    Tokens,
)
from services.auth.domain.users import UserRepositories
from services.auth.service.guessing import Guessing
from shared.errors import Unauthenticated, Unavailable
from shared.ids import new_id


class Reason(StrEnum):
    """Why a login failed: for the audit table, never for who tried."""

    UNKNOWN_ACCOUNT = "unknown-account"
    WRONG_PASSWORD = "wrong-password"  # noqa: S105
    ACCOUNT_LOCKED = "account-locked"
    WRONG_CODE = "wrong-code"


class LoginFailed(Unauthenticated):
    """The same words, whatever was wrong."""

    def __init__(self, reason: Reason, user_id: UUID | None = None) -> None:
        super().__init__("The e-mail address or the password is wrong.", code="invalid-credentials")
        self.reason = reason
        self.user_id = user_id


class LoginService:
    """Logging in. Raises Unavailable while what it needs does.

    Nobody learns from a failed login whether there is such an account. The words are the same, and so is the
    time: without an account as many hashes and statements are made as with one.
    """

    def __init__(
        self,
        users: UserRepositories,
        passwords: Passwords,
        second_factor: SecondFactor,
        guessing: Guessing,
        tokens: TokenMaker,
        lifetimes: SessionLifetimes,
        audit: AuditLog,
    ) -> None:
        self._accounts = users.accounts
        self._stored_passwords = users.passwords
        self._sessions = users.sessions
        self._passwords = passwords
        self._second_factor = second_factor
        self._guessing = guessing
        self._tokens = tokens
        self._lifetimes = lifetimes
        self._audit = audit

    async def log_in(self, email: str, password: str, code: str, origin: Origin) -> Tokens:
        """A new session. `code` is empty where there is none.

        Raises TooManyRequests after too many failures; LoginFailed; SecondFactorRequired or
        SecondFactorWrong, which tell that the password was right.
        """
        attempt = await self._guessing.admit_login(email, origin.address)
        async with self._guessing.overload_taken_back(attempt):
            try:
                user, verified = await self._verify(email, password)
                tokens = await self._open_session(user, verified, code, origin, attempt)
            except SecondFactorRequired:
                await self._guessing.take_back(attempt)  # no guess, and no success either
                raise
            except SecondFactorWrong:
                await self._write_failure(Reason.WRONG_CODE, user.user_id)
                raise
            except LoginFailed as failed:
                await self._write_failure(failed.reason, failed.user_id)
                raise
        await self._renew_hash(user, password, verified)
        return tokens

    async def _verify(self, email: str, password: str) -> tuple[User, StoredPassword]:
        """The account, if that is its password. Raises LoginFailed."""
        found = await self._accounts.find_login(email)
        is_right = await self._passwords.matches(password, found[1].hash if found is not None else None)
        if found is None:
            raise LoginFailed(Reason.UNKNOWN_ACCOUNT)
        user, _ = found
        if not is_right:
            raise LoginFailed(Reason.WRONG_PASSWORD, user.user_id)
        if user.is_locked:
            raise LoginFailed(Reason.ACCOUNT_LOCKED, user.user_id)
        return found

    async def _open_session(
        self, user: User, verified: StoredPassword, code: str, origin: Origin, attempt: Attempt
    ) -> Tokens:
        """All that a login changes, at once. Raises LoginFailed, SecondFactorRequired, SecondFactorWrong."""
        await self._tokens.catch_up()
        async with self._sessions.unit_of_work():
            user, now = await self._hold(user, verified)
            await self._second_factor.demand(user.user_id, code)
            tokens = await self._add_session(user, now, origin)
            await self._audit.write(AuditEntry(Event.LOGGED_IN, user.user_id, tokens.session_id))
            await self._guessing.remember_network(user.user_id, origin.address)
            await self._guessing.succeeded(attempt)
        return tokens

    async def _hold(self, user: User, verified: StoredPassword) -> tuple[User, datetime]:
        """The account as it is now: a hash takes long enough for a lock, or for a change of password."""
        held = await self._accounts.hold_user(user.user_id)
        if held is None or held[0].is_locked:
            raise LoginFailed(Reason.ACCOUNT_LOCKED, user.user_id)
        if not await self._stored_passwords.is_unchanged(user.user_id, verified):
            raise LoginFailed(Reason.WRONG_PASSWORD, user.user_id)
        return held

    async def _add_session(self, user: User, now: datetime, origin: Origin) -> Tokens:
        ends_by = now + self._lifetimes.longest
        session = Session(new_id(), user.user_id, min(now + self._lifetimes.idle, ends_by), ends_by)
        tokens = self._tokens.issue(user, session, now)
        first = RefreshToken(self._tokens.digest(tokens.refresh_token))
        await self._sessions.add_session(session, origin, first)
        return tokens

    async def _write_failure(self, reason: Reason, user_id: UUID | None) -> None:
        await self._audit.write(AuditEntry(Event.LOGIN_FAILED, user_id, details={"reason": reason.value}))

    async def _renew_hash(self, user: User, password: str, verified: StoredPassword) -> None:
        """Hash again at the cost of today, if there is time for it; the login has succeeded in any case."""
        if self._passwords.needs_rehash(verified.hash):
            with suppress(Unavailable):
                new_hash = await self._passwords.hash(password)
                await self._stored_passwords.rehash(user.user_id, verified.hash, new_hash)
