"""How a token stands: what the database knows when somebody asks whether it is good."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.revocations import Revocation
from services.auth.domain.sessions import Session


@dataclass(frozen=True, slots=True)
class Standing:
    """A token's session and owner at `now`, and every revocation that names one of its names."""

    session: Session
    user: User
    revocations: Sequence[Revocation]
    now: datetime

    @property
    def is_good(self) -> bool:
        """Whether the session lives and its owner may use it."""
        return self.session.is_live(self.now) and not self.user.is_locked


class StandingRepository(Protocol):
    """Reads what is kept, and holds nobody up. Raises Unavailable while that cannot be reached."""

    async def find_standing(self, session_id: UUID, token_id: str, key_id: str) -> Standing | None:
        """Of the token `token_id` of that session, signed with `key_id`; None without such a session."""
