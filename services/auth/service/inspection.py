"""What a token is worth, for whoever cannot tell from the token alone; and the end of one.

A gateway asks its mirror of the revocations. Here the database is asked, which is the truth, with its clock.

RFC 7009 section 2.1 wants a token to be revoked only by the client that it was issued to. Our tokens are all
issued to the one first-party client, which logs out instead; those who may ask here are the operator's own
resource servers. The operator trusts each of them to see tokens, and so to end them: every client may revoke
every token. The audit table says which one did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.clients import Client
from services.auth.domain.revocations import Revocation, Revocations, RevokedKind, TokenRevocations
from services.auth.domain.sessions import SessionRepository
from services.auth.domain.standings import Standing, StandingRepository
from services.auth.domain.tokens import SignedToken, TokenKind, TokenReader


@dataclass(frozen=True, slots=True)
class ActiveToken:
    """A token that can be used, and whose it is."""

    token: SignedToken
    user: User


@dataclass(frozen=True, slots=True)
class _Revoked:
    """What became of a token: whether it could be used until now, and what the gateways must hear."""

    was_live: bool
    revocations: Sequence[Revocation]


class InspectionService:
    """Introspection and revocation. Both raise Unavailable while what they need does."""

    def __init__(
        self,
        tokens: TokenReader,
        standings: StandingRepository,
        sessions: SessionRepository,
        token_revocations: TokenRevocations,
        revocations: Revocations,
        audit: AuditLog,
    ) -> None:
        self._tokens = tokens
        self._standings = standings
        self._sessions = sessions
        self._token_revocations = token_revocations
        self._revocations = revocations
        self._audit = audit

    async def introspect(self, presented: str) -> ActiveToken | None:
        """The token, if it can be used at this moment (RFC 7662 section 4); None for all others alike."""
        await self._tokens.catch_up()
        token = self._tokens.read(presented)
        if token is None:
            return None
        standing = await self._standings.find_standing(token.session_id, token.token_id, token.key_id)
        if standing is None or not _is_active(token, standing):
            return None
        if token.kind is TokenKind.REFRESH and not await self._is_unused(token.session_id, presented):
            return None
        return ActiveToken(token, standing.user)

    async def revoke(self, presented: str, client: Client) -> None:
        """End an access token, or the session of a refresh token; what is not ours needs no end.

        Returns when no gateway that is up to date lets it in any more.
        """
        await self._tokens.catch_up()
        token = self._tokens.read(presented)
        if token is None:
            return
        async with self._sessions.unit_of_work():
            revoked = await self._revoke(token)
            if revoked.was_live:
                await self._audit.write(_entry(token, client))
        await self._revocations.publish(revoked.revocations)

    async def _is_unused(self, session_id: UUID, presented: str) -> bool:
        kept = await self._sessions.find_refresh_token(session_id, self._tokens.digest(presented))
        return kept is not None and kept.used_at is None

    async def _revoke(self, token: SignedToken) -> _Revoked:
        if token.kind is TokenKind.REFRESH:
            ended = await self._sessions.end_session(token.session_id, token.user_id, "refresh token revoked")
            return (
                _Revoked(False, ()) if ended is None else _Revoked(ended.session_count > 0, ended.revocations)
            )
        await self._sessions.hold_session(token.session_id)  # of two who revoke at once, one is the first
        was_live = not await self._token_revocations.is_token_revoked(token.token_id)
        revocations = await self._token_revocations.revoke_token(token.token_id, token.expires_at)
        return _Revoked(was_live, revocations)


def _is_active(token: SignedToken, standing: Standing) -> bool:
    """The signature is right. The rest is the database's to say."""
    is_in_time = standing.now < token.expires_at
    is_its_own = standing.user.user_id == token.user_id
    is_revoked = any(_refuses(each, token) for each in standing.revocations)
    return is_in_time and is_its_own and standing.is_good and not is_revoked


def _refuses(revocation: Revocation, token: SignedToken) -> bool:
    """A user's revocation (a change of roles, say) leaves the session, whose next access tokens are good."""
    is_concerned = token.kind is TokenKind.ACCESS or revocation.kind is not RevokedKind.USER
    return is_concerned and revocation.refuses(token.issued_at)


def _entry(token: SignedToken, client: Client) -> AuditEntry:
    details = {"client_id": client.client_id, "kind": token.kind.value, "token_id": token.token_id}
    return AuditEntry(Event.TOKEN_REVOKED, token.user_id, token.session_id, details)
