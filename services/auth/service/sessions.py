"""Who stays logged in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.revocations import Revocation, Revocations
from services.auth.domain.sessions import (
    Decision,
    LogoutScope,
    RefreshToken,
    Session,
    SessionLifetimes,
    SessionRepository,
    TokenMaker,
    Tokens,
    decide_refresh,
)
from shared.errors import Unauthenticated


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """How a refresh ended: with tokens, or with a session that nobody may use any more, or with neither."""

    tokens: Tokens | None = None
    revocations: Sequence[Revocation] = ()


class SessionService:
    """Who is logged in. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(
        self,
        repository: SessionRepository,
        tokens: TokenMaker,
        revocations: Revocations,
        lifetimes: SessionLifetimes,
    ) -> None:
        self._repository = repository
        self._tokens = tokens
        self._revocations = revocations
        self._lifetimes = lifetimes

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


def _wrong_refresh_token() -> Unauthenticated:
    return Unauthenticated("The refresh token is not valid (any more).", code="invalid-token")
