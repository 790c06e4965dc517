"""Which sessions there are, and how they end."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.revocations import Revocations
from services.auth.domain.sessions import Ended, LiveSession, LogoutScope, SessionRepository
from shared.errors import NotFound


@dataclass(frozen=True, slots=True)
class Page:
    """Some sessions, and after which one the next page goes on; None on the last page."""

    sessions: Sequence[LiveSession]
    next: UUID | None


class SessionService:
    """A user's sessions. Besides what each says, all raise Unavailable while what they need does.

    Whatever ends sessions returns when no gateway that is up to date lets them in any more. When it is
    repeated, because an answer was lost or said that the store is away, it does and tells what is left to do.
    """

    def __init__(self, repository: SessionRepository, revocations: Revocations, audit: AuditLog) -> None:
        self._repository = repository
        self._revocations = revocations
        self._audit = audit

    async def browse(self, user_id: UUID, after: UUID | None = None, limit: int = 20) -> Page:
        """A user's live sessions, newest first: those that are older than the session `after`, if given."""
        found = await self._repository.live_sessions(user_id, after, limit + 1)
        sessions = found[:limit]
        return Page(sessions, sessions[-1].session_id if len(found) > limit else None)

    async def end(self, user_id: UUID, session_id: UUID) -> None:
        """End one session of a user. Raises NotFound when it is none of theirs."""
        async with self._repository.unit_of_work():
            ended = await self._repository.end_session(session_id, user_id, "ended by its user")
            if ended is None:
                raise NotFound("There is no such session.")
            if ended.session_count:
                await self._audit.write(AuditEntry(Event.SESSION_ENDED, user_id, session_id))
        await self._revocations.publish(ended.revocations)

    async def log_out(self, user_id: UUID, session_id: UUID, scope: LogoutScope) -> None:
        """End the sessions in `scope`, seen from that session."""
        async with self._repository.unit_of_work():
            ended = await self._end_all_in(scope, user_id, session_id)
            if ended.session_count:
                details = {"scope": scope.value, "sessions": str(ended.session_count)}
                await self._audit.write(AuditEntry(Event.LOGGED_OUT, user_id, session_id, details))
        await self._revocations.publish(ended.revocations)

    async def _end_all_in(self, scope: LogoutScope, user_id: UUID, session_id: UUID) -> Ended:
        reason = f"logout {scope}"
        match scope:
            case LogoutScope.LOCAL:
                ended = await self._repository.end_session(session_id, user_id, reason)
                return ended or Ended(session_count=0, revocations=())
            case LogoutScope.OTHERS:
                return await self._repository.end_sessions(user_id, reason, spared=session_id)
            case LogoutScope.GLOBAL:
                return await self._repository.end_sessions(user_id, reason)
