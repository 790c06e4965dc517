"""Who gets a session."""

from datetime import datetime

from services.auth.domain.accounts import AccountRepository, User
from services.auth.domain.passwords import Passwords
from services.auth.domain.sessions import (
    Origin,
    RefreshToken,
    Session,
    SessionLifetimes,
    SessionRepository,
    TokenMaker,
    Tokens,
)
from shared.errors import Unauthenticated
from shared.ids import new_id


class LoginService:
    """Logging in. Raises Unavailable while what it needs does."""

    def __init__(
        self,
        accounts: AccountRepository,
        sessions: SessionRepository,
        passwords: Passwords,
        tokens: TokenMaker,
        lifetimes: SessionLifetimes,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._passwords = passwords
        self._tokens = tokens
        self._lifetimes = lifetimes

    async def log_in(self, email: str, password: str, origin: Origin) -> Tokens:
        """A new session. Raises Unauthenticated, without a word on what was wrong."""
        found = await self._accounts.find_login(email)
        password_hash = found[1] if found is not None else None
        if not await self._passwords.matches(password, password_hash) or found is None:
            raise _wrong_login()
        async with self._sessions.unit_of_work():
            held = await self._accounts.hold_user(found[0].user_id)
            if held is None or held[0].is_locked:
                raise _wrong_login()
            user, now = held
            session = self._new_session(user, now)
            tokens = self._tokens.issue(user, session, now)
            first = RefreshToken(self._tokens.digest(tokens.refresh_token))
            await self._sessions.add_session(session, origin, first)
        return tokens

    def _new_session(self, user: User, now: datetime) -> Session:
        ends_by = now + self._lifetimes.longest
        return Session(new_id(), user.user_id, min(now + self._lifetimes.idle, ends_by), ends_by)


def _wrong_login() -> Unauthenticated:
    return Unauthenticated("The e-mail address or the password is wrong.", code="invalid-credentials")
