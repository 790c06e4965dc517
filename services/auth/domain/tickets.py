"""One-time tickets, which WebSockets are opened with: whom they let in, and how many anybody gets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.sessions import Session

TICKET_LIFETIME = timedelta(seconds=30)  # a client connects at once; a ticket lives on in logs and histories
COUNTED_FOR = timedelta(minutes=1)  # how long a user's tickets are counted before counting begins anew


@dataclass(frozen=True, slots=True)
class TicketHolder:
    """Whom a ticket lets in: a user with name and roles as they are `now`, in one session."""

    user: User
    session: Session
    token_id: str  # of the access token that came with the call
    now: datetime


@dataclass(frozen=True, slots=True)
class TicketCount:
    """How many tickets a user has wanted, this one included, and when counting begins anew."""

    number: int
    begins_anew_in: timedelta


# What the use cases need


class Tickets(Protocol):
    """Where tickets are kept. Every method raises Unavailable while that cannot be reached."""

    async def count(self, user_id: UUID) -> TicketCount:
        """The user wants one more; of two at once, one is the later."""

    async def issue(self, holder: TicketHolder) -> str:
        """A new ticket, to be used once and within TICKET_LIFETIME."""

    async def prolong(self, session: Session) -> None:
        """Sockets opened with that session's tickets may stay until it expires now."""
