"""Who stays logged in."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.revocations import Revocation, Revocations
from services.auth.domain.sessions import (
    Decision,
    RefreshToken,
    Session,
    SessionLifetimes,
    SessionRepository,
    TokenMaker,
    Tokens,
    decide_refresh,
)
from services.auth.domain.tickets import Tickets
from shared.errors import Unauthenticated, Unavailable


@dataclass(frozen=True, slots=True)
class _Refreshed:
    """How a refresh ended: with tokens, or with a session that nobody may use any more, or with neither."""

    tokens: Tokens | None = None
    prolonged: Session | None = None  # by a refresh that was the first with its token
    revocations: Sequence[Revocation] = ()


class RefreshService:
    """Refreshing. Raises Unavailable while what it needs does."""

    def __init__(
        self,
        repository: SessionRepository,
        tokens: TokenMaker,
        revocations: Revocations,
        tickets: Tickets,
        audit: AuditLog,
        lifetimes: SessionLifetimes,
    ) -> None:
        self._repository = repository
        self._tokens = tokens
        self._revocations = revocations
        self._tickets = tickets
        self._audit = audit
        self._lifetimes = lifetimes

    async def refresh(self, presented: str) -> Tokens:
        """The next pair of tokens. Raises Unauthenticated; a token that was used before ends its session."""
        await self._tokens.catch_up()
        session_id = self._tokens.session_of(presented)
        if session_id is None:
            raise _wrong_refresh_token()
        async with self._repository.unit_of_work():
            outcome = await self._decide(session_id, presented)
        if outcome.tokens is None:
            await self._revocations.publish(outcome.revocations)
            raise _wrong_refresh_token()
        if outcome.prolonged is not None:
            await self._prolong_sockets(outcome.prolonged)
        return outcome.tokens

    async def _decide(self, session_id: UUID, presented: str) -> _Refreshed:
        held = await self._repository.hold_session(session_id)
        if held is None or held[1].is_locked:
            return _Refreshed()
        session, user, now = held
        token = await self._repository.find_refresh_token(session_id, self._tokens.digest(presented))
        match decide_refresh(session, token, now, self._lifetimes.grace):
            case Decision.ROTATE if token is not None:
                return await self._rotate(session, user, now, presented)
            case Decision.REPEAT if token is not None and token.sealed_successor is not None:
                return _Refreshed(await self._repeat(session, user, now, presented, token.sealed_successor))
            case Decision.END:
                return _Refreshed(revocations=await self._end(session))
            case _:
                return _Refreshed()

    async def _rotate(self, session: Session, user: User, now: datetime, presented: str) -> _Refreshed:
        expires_at = min(now + self._lifetimes.idle, session.ends_by)
        session = replace(session, expires_at=expires_at)
        tokens = self._tokens.issue(user, session, now)
        used = RefreshToken(
            self._tokens.digest(presented),
            used_at=now,
            sealed_successor=self._tokens.seal_successor(presented, tokens.refresh_token),
        )
        await self._repository.rotate(session, used, RefreshToken(self._tokens.digest(tokens.refresh_token)))
        await self._write(Event.REFRESHED, session)
        return _Refreshed(tokens, session)

    async def _repeat(
        self, session: Session, user: User, now: datetime, presented: str, sealed: bytes
    ) -> Tokens:
        await self._write(Event.REFRESHED, session, repeated="yes")
        return self._tokens.reissue(user, session, now, self._tokens.unseal_successor(presented, sealed))

    async def _end(self, session: Session) -> Sequence[Revocation]:
        reason = "refresh token used twice"
        ended = await self._repository.end_session(session.session_id, session.user_id, reason)
        await self._write(Event.REFRESH_TOKEN_REUSED, session, session="ended")
        return () if ended is None else ended.revocations

    async def _prolong_sockets(self, session: Session) -> None:
        """A store that is away fails no refresh: the next one prolongs them too, long before they expire."""
        with suppress(Unavailable):
            await self._tickets.prolong(session)

    async def _write(self, event: Event, session: Session, /, **details: str) -> None:
        await self._audit.write(AuditEntry(event, session.user_id, session.session_id, details))


def _wrong_refresh_token() -> Unauthenticated:
    return Unauthenticated("The refresh token is not valid (any more).", code="invalid-token")
