"""Tickets into the store, in its words: identifiers as text, times as Unix milliseconds."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from services.auth.domain.sessions import Session
from services.auth.domain.tickets import COUNTED_FOR, TICKET_LIFETIME, TicketCount, TicketHolder
from services.auth.unix_time import milliseconds
from shared.auth.tickets import Ticket, TicketStore


@dataclass(frozen=True, slots=True)
class StoredTickets:
    """The domain's Tickets."""

    store: TicketStore

    async def count(self, user_id: UUID) -> TicketCount:
        """In the store, for all auth servers together."""
        number, seconds = await self.store.count(str(user_id), int(COUNTED_FOR.total_seconds()))
        return TicketCount(number, timedelta(seconds=seconds))

    async def issue(self, holder: TicketHolder) -> str:
        """With all that a WebSocket gateway has to know: it asks nobody else."""
        ticket = Ticket(
            user_id=str(holder.user.user_id),
            display_name=holder.user.display_name,
            session_id=str(holder.session.session_id),
            token_id=holder.token_id,
            roles=frozenset(holder.user.roles),
            issued_at_ms=milliseconds(holder.now),
            session_expires_ms=milliseconds(holder.session.expires_at),
        )
        return await self.store.issue(ticket, int(TICKET_LIFETIME.total_seconds()))

    async def prolong(self, session: Session) -> None:
        """Every WebSocket gateway finds it there."""
        await self.store.prolong_session(str(session.session_id), milliseconds(session.expires_at))
