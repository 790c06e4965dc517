"""What can be done with accounts and sessions. Each write reads as: hold, decide, record; then tell.

The gateways are told after the transaction, never inside it: the database is the truth, and what it holds is
sent to the store until the store has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from services.auth.domain import (
    ACCOUNT_RULES,
    ADMIN,
    USER,
    AccountRepository,
    Decision,
    LogoutScope,
    Origin,
    Passwords,
    RefreshToken,
    Revocation,
    Revocations,
    Session,
    SessionLifetimes,
    TokenMaker,
    Tokens,
    User,
    decide_refresh,
)
from shared.errors import Conflict, NotFound, Unauthenticated
from shared.ids import new_id
from shared.rules import check
from shared.text import tidy_name


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What an account is created from."""

    email: str
    password: str = field(repr=False)
    display_name: str


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """How a refresh ended: with tokens, or with a session that nobody may use any more, or with neither."""

    tokens: Tokens | None = None
    revocations: Sequence[Revocation] = ()


class AccountService:
    """Who has an account. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(self, repository: AccountRepository, passwords: Passwords, revocations: Revocations) -> None:
        self._repository = repository
        self._passwords = passwords
        self._revocations = revocations

    async def sign_up(self, account: NewAccount, roles: Sequence[str] = (USER,)) -> User:
        """A new account. Raises Invalid, or Conflict when the e-mail address is taken."""
        check(((name, getattr(account, name)) for name in ACCOUNT_RULES), ACCOUNT_RULES)
        user = User(new_id(), account.email, tidy_name(account.display_name), tuple(roles))
        if not await self._repository.add_user(user, await self._passwords.hash(account.password)):
            raise Conflict("There is an account with this e-mail address already.", code="email-taken")
        return user

    async def ensure_admin(self, account: NewAccount) -> bool:
        """An admin with that address, if the address is still free. True when it was created."""
        if await self._repository.find_login(account.email) is not None:
            return False
        try:
            await self.sign_up(account, (ADMIN, USER))
        except Conflict:
            return False  # another auth server was faster
        return True

    async def user(self, user_id: UUID) -> User:
        """The account. Raises Unauthenticated: who asks about an account that is gone is nobody."""
        user = await self._repository.find_user(user_id)
        if user is None:
            raise Unauthenticated("This account does not exist any more.")
        return user

    async def users(self) -> Sequence[User]:
        """Every account, oldest first."""
        return await self._repository.list_users()

    async def grant(self, email: str, role: str) -> User:
        """Give an account one more role; its tokens end, so that it gets new ones. Raises NotFound."""
        async with self._repository.unit_of_work():
            found = await self._repository.find_login(email)
            held = await self._repository.hold_user(found[0].user_id) if found is not None else None
            if held is None:
                raise NotFound("There is no account with this e-mail address.")
            user, _ = held
            if role in user.roles:
                return user
            changed = replace(user, roles=(*user.roles, role))
            revocations = await self._repository.set_roles(user.user_id, changed.roles)
        await self._revocations.publish(revocations)
        return changed


class SessionService:
    """Who is logged in. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(
        self,
        repository: AccountRepository,
        passwords: Passwords,
        tokens: TokenMaker,
        revocations: Revocations,
        lifetimes: SessionLifetimes,
    ) -> None:
        self._repository = repository
        self._passwords = passwords
        self._tokens = tokens
        self._revocations = revocations
        self._lifetimes = lifetimes

    async def log_in(self, email: str, password: str, origin: Origin) -> Tokens:
        """A new session. Raises Unauthenticated, without a word on what was wrong."""
        found = await self._repository.find_login(email)
        password_hash = found[1] if found is not None else None
        if not await self._passwords.matches(password, password_hash) or found is None:
            raise _wrong_login()
        async with self._repository.unit_of_work():
            held = await self._repository.hold_user(found[0].user_id)
            if held is None or held[0].is_locked:
                raise _wrong_login()
            user, now = held
            session = self._new_session(user, now)
            tokens = self._tokens.issue(user, session, now)
            first = RefreshToken(self._tokens.digest(tokens.refresh_token))
            await self._repository.add_session(session, origin, first)
        return tokens

    async def refresh(self, presented: str) -> Tokens:
        """The next pair of tokens. Raises Unauthenticated; a token that was used before ends its session."""
        session_id = self._tokens.session_of(presented)
        if session_id is None:
            raise _wrong_refresh_token()
        async with self._repository.unit_of_work():
            outcome = await self._decide_refresh(session_id, presented)
        if outcome.tokens is None:
            await self._revocations.publish(outcome.revocations)
            raise _wrong_refresh_token()
        return outcome.tokens

    async def log_out(self, user_id: UUID, session_id: UUID, scope: LogoutScope) -> None:
        """End sessions of a user; returns when no gateway that is up to date lets them in any more."""
        reason = f"logout {scope}"
        async with self._repository.unit_of_work():
            match scope:
                case LogoutScope.LOCAL:
                    ended = await self._repository.end_session(session_id, user_id, reason)
                case LogoutScope.OTHERS:
                    ended = await self._repository.end_sessions(user_id, reason, spared=session_id)
                case LogoutScope.GLOBAL:
                    ended = await self._repository.end_sessions(user_id, reason)
        await self._revocations.publish(ended)

    def _new_session(self, user: User, now: datetime) -> Session:
        ends_by = now + self._lifetimes.longest
        return Session(new_id(), user.user_id, min(now + self._lifetimes.idle, ends_by), ends_by)

    async def _decide_refresh(self, session_id: UUID, presented: str) -> _Refreshed:
        held = await self._repository.hold_session(session_id)
        if held is None or held[1].is_locked:
            return _Refreshed()
        session, user, now = held
        token = await self._repository.find_refresh_token(session_id, self._tokens.digest(presented))
        match decide_refresh(session, token, now, self._lifetimes.grace):
            case Decision.ROTATE if token is not None:
                return _Refreshed(await self._rotate(session, user, now, presented))
            case Decision.REPEAT if token is not None and token.sealed_successor is not None:
                successor = self._tokens.unseal_successor(presented, token.sealed_successor)
                return _Refreshed(self._tokens.reissue(user, session, now, successor))
            case Decision.END:
                reason = "refresh token used twice"
                ended = await self._repository.end_session(session_id, user.user_id, reason)
                return _Refreshed(revocations=ended)
            case _:
                return _Refreshed()

    async def _rotate(self, session: Session, user: User, now: datetime, presented: str) -> Tokens:
        expires_at = min(now + self._lifetimes.idle, session.ends_by)
        session = replace(session, expires_at=expires_at)
        tokens = self._tokens.issue(user, session, now)
        used = RefreshToken(
            self._tokens.digest(presented),
            used_at=now,
            sealed_successor=self._tokens.seal_successor(presented, tokens.refresh_token),
        )
        await self._repository.rotate(session, used, RefreshToken(self._tokens.digest(tokens.refresh_token)))
        return tokens


def _wrong_login() -> Unauthenticated:
    return Unauthenticated("The e-mail address or the password is wrong.", code="invalid-credentials")


def _wrong_refresh_token() -> Unauthenticated:
    return Unauthenticated("The refresh token is not valid (any more).", code="invalid-token")
