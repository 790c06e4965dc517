"""Who may replace a password."""

from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.guessing import Proof
from services.auth.domain.passwords import PasswordPolicy, Passwords, StoredPassword
from services.auth.domain.revocations import Revocations
from services.auth.domain.users import UserRepositories
from services.auth.service.guessing import Guessing
from shared.errors import Conflict, FieldError, Invalid, Unauthenticated
from shared.rules import check


@dataclass(frozen=True, slots=True)
class PasswordChange:
    """What a user asks for."""

    current_password: str = field(repr=False)
    new_password: str = field(repr=False)


class PasswordService:
    """Changing a password. Raises Unavailable while what it needs does."""

    def __init__(
        self,
        users: UserRepositories,
        passwords: Passwords,
        policy: PasswordPolicy,
        guessing: Guessing,
        revocations: Revocations,
        audit: AuditLog,
    ) -> None:
        self._accounts = users.accounts
        self._stored = users.passwords
        self._sessions = users.sessions
        self._passwords = passwords
        self._policy = policy
        self._guessing = guessing
        self._revocations = revocations
        self._audit = audit

    async def change(self, user_id: UUID, session_id: UUID, wish: PasswordChange) -> None:
        """Replace the password and end all sessions but this one: a thief who is logged in must go too.

        Returns when no gateway that is up to date lets those sessions in any more. Raises Invalid, with the
        code `wrong-password` when it is the current one that is wrong (Unauthenticated would make clients
        believe that their tokens are); TooManyRequests after too many of those; Conflict when another change
        was faster; Unauthenticated when session or account has ended or been locked meanwhile.

        When the store is away, it raises Unavailable although the password has been changed: the database
        comes first.
        """
        user, stored = await self._find(user_id)
        rules = {"new_password": partial(self._policy.fault, email=user.email)}
        check([("new_password", wish.new_password)], rules)
        attempt = await self._guessing.admit_user(user_id, Proof.PASSWORD)
        async with self._guessing.overload_taken_back(attempt):
            if not await self._passwords.matches(wish.current_password, stored.hash):
                raise _wrong_password()
            new_hash = await self._passwords.hash(wish.new_password)
            async with self._sessions.unit_of_work():
                ended = await self._sessions.end_sessions(user_id, "password changed", spared=session_id)
                await self._check_nothing_has_changed(user_id, session_id, stored)
                await self._stored.change(user_id, new_hash)
                await self._guessing.succeeded(attempt)
                details = {"sessions": str(ended.session_count)}
                await self._audit.write(AuditEntry(Event.PASSWORD_CHANGED, user_id, session_id, details))
        await self._revocations.publish(ended.revocations)

    async def _find(self, user_id: UUID) -> tuple[User, StoredPassword]:
        user, stored = await self._accounts.find_user(user_id), await self._stored.find(user_id)
        if user is None or stored is None or user.is_locked:
            raise _logged_out()
        return user, stored

    async def _check_nothing_has_changed(
        self, user_id: UUID, session_id: UUID, stored: StoredPassword
    ) -> None:
        """Hashing took its time. Called with all live sessions and the account held by us alone."""
        held, session = await self._accounts.hold_user(user_id), await self._sessions.find_session(session_id)
        if held is None or session is None:
            raise _logged_out()
        user, now = held
        if user.is_locked or session.user_id != user_id or not session.is_live(now):
            raise _logged_out()
        if not await self._stored.is_unchanged(user_id, stored):
            raise Conflict("The password has just been changed by another request.", code="password-changed")


def _wrong_password() -> Invalid:
    return Invalid(
        "The current password is wrong.",
        (FieldError("current_password", "Is not the current password"),),
        code="wrong-password",
    )


def _logged_out() -> Unauthenticated:
    return Unauthenticated("This session has ended.")
