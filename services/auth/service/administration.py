"""What the operator does to accounts."""

from collections.abc import Sequence
from dataclasses import replace

from services.auth.domain.accounts import ADMIN, AccountRepository, User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.guessing import GuessRepository, network_of
from services.auth.domain.revocations import Revocations
from services.auth.domain.sessions import SessionRepository
from shared.errors import Conflict, NotFound


class AdministrationService:
    """Accounts by their e-mail address. All raise NotFound, and Unavailable while what they need does.

    Whatever is done already is done: it changes nothing and is written down nowhere, but what the gateways
    have not heard yet is told again. Locking, and taking a role away, raise Conflict (`last-admin`) when
    nobody would be left to administer; `force` does it all the same.
    """

    def __init__(
        self,
        accounts: AccountRepository,
        sessions: SessionRepository,
        guesses: GuessRepository,
        revocations: Revocations,
        audit: AuditLog,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._guesses = guesses
        self._revocations = revocations
        self._audit = audit

    async def account(self, email: str) -> User:
        """The account, as it is just now."""
        found = await self._accounts.find_login(email)
        if found is None:
            raise NotFound("There is no account with this e-mail address.")
        return found[0]

    async def lock(self, email: str, reason: str = "", *, force: bool = False) -> int:
        """No login, no refresh, no token that was issued until now; returns how many sessions end."""
        async with self._accounts.administration():
            user = await self._hold(email)
            await self._refuse_last_admin(user, force)
            ended = await self._sessions.end_sessions(user.user_id, "account locked")
            if not user.is_locked or ended.session_count:
                await self._accounts.lock_user(user.user_id)
                details = {"sessions": str(ended.session_count), **({"reason": reason} if reason else {})}
                await self._audit.write(AuditEntry(Event.ACCOUNT_LOCKED, user.user_id, details=details))
            untold = await self._accounts.unsent_revocations(user.user_id)
        await self._revocations.publish(untold)
        return ended.session_count

    async def unlock(self, email: str) -> None:
        """Login is possible again, and what was guessed at the account is forgotten."""
        async with self._accounts.administration():
            user = await self._hold(email)
            if user.is_locked:
                await self._accounts.unlock_user(user.user_id)
            had_guesses = await self._guesses.forget_account(user.email, user.user_id)
            if user.is_locked or had_guesses:
                await self._audit.write(AuditEntry(Event.ACCOUNT_UNLOCKED, user.user_id))

    async def unlock_address(self, address: str) -> str:
        """What was guessed from there is forgotten. Returns the network that this concerns."""
        network = network_of(address)
        async with self._guesses.unit_of_work():
            if await self._guesses.forget_address(address):
                await self._audit.write(AuditEntry(Event.ADDRESS_UNLOCKED, details={"network": network}))
        return network

    async def add_role(self, email: str, role: str) -> User:
        """One role more; tokens without it end, and the next ones have it."""
        async with self._accounts.administration():
            user = await self._hold(email)
            if role not in user.roles:
                user = await self._set_roles(user, (*user.roles, role), {"added": role})
            untold = await self._accounts.unsent_revocations(user.user_id)
        await self._revocations.publish(untold)
        return user

    async def remove_role(self, email: str, role: str, *, force: bool = False) -> User:
        """One role less; tokens with it end."""
        async with self._accounts.administration():
            user = await self._hold(email)
            if role in user.roles:
                if role == ADMIN:
                    await self._refuse_last_admin(user, force)
                left = [each for each in user.roles if each != role]
                user = await self._set_roles(user, left, {"removed": role})
            untold = await self._accounts.unsent_revocations(user.user_id)
        await self._revocations.publish(untold)
        return user

    async def _hold(self, email: str) -> User:
        held = await self._accounts.hold_user_alone((await self.account(email)).user_id)
        if held is None:
            raise NotFound("There is no account with this e-mail address.")
        return held

    async def _set_roles(self, user: User, roles: Sequence[str], details: dict[str, str]) -> User:
        await self._accounts.set_roles(user.user_id, roles)
        await self._audit.write(AuditEntry(Event.ROLES_CHANGED, user.user_id, details=details))
        return replace(user, roles=tuple(roles))

    async def _refuse_last_admin(self, user: User, force: bool) -> None:
        """One operator at a time asks this, so two cannot take away the last two admins at once."""
        is_admin = ADMIN in user.roles and not user.is_locked
        if is_admin and not force and not await self._accounts.has_other_admin(user.user_id):
            raise Conflict("This is the last admin who is not locked.", code="last-admin")
