"""Who may open a WebSocket."""

from uuid import UUID

from services.auth.domain.sessions import SessionRepository
from services.auth.domain.tickets import TicketHolder, Tickets
from shared.errors import TooManyRequests, Unauthenticated
from shared.observability.metrics import WS_TICKETS_ISSUED, expose


class TicketService:
    """One-time tickets, at most `per_minute` for each user."""

    def __init__(self, sessions: SessionRepository, tickets: Tickets, per_minute: int) -> None:
        self._sessions = sessions
        self._tickets = tickets
        self._per_minute = per_minute
        expose(WS_TICKETS_ISSUED)

    async def issue(self, user_id: UUID, session_id: UUID, token_id: str) -> str:
        """A ticket for that user in that session, asked for with that access token.

        Raises TooManyRequests; Unauthenticated when the session has ended or its user is locked; Unavailable.
        """
        await self._admit(user_id)
        async with self._sessions.unit_of_work():
            holder = await self._hold(user_id, session_id, token_id)
            # Before the session is let go: a refresh tells of a later expiry only where a ticket is known.
            ticket = await self._tickets.issue(holder)
        WS_TICKETS_ISSUED.inc()
        return ticket

    async def _admit(self, user_id: UUID) -> None:
        count = await self._tickets.count(user_id)
        if count.number > self._per_minute:
            detail = "Too many tickets at once; an open WebSocket needs no other."
            raise TooManyRequests(detail, retry_after=count.begins_anew_in.total_seconds())

    async def _hold(self, user_id: UUID, session_id: UUID, token_id: str) -> TicketHolder:
        """The user and the session as they are, not as the token says; they stay so while held.

        So a change of roles comes before, and the ticket has the new ones, or after `now`, and revokes it.
        """
        held = await self._sessions.hold_session(session_id)
        if held is None:
            raise _ended()
        session, user, now = held
        if user.user_id != user_id or user.is_locked or not session.is_live(now):
            raise _ended()
        return TicketHolder(user, session, token_id, now)


def _ended() -> Unauthenticated:
    return Unauthenticated("This session has ended.", code="invalid-token")
