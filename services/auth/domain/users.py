"""What is kept of users: use cases that open or shut the door need all of it at once."""

from dataclasses import dataclass

from services.auth.domain.accounts import AccountRepository
from services.auth.domain.passwords import PasswordRepository
from services.auth.domain.sessions import SessionRepository


@dataclass(frozen=True, slots=True)
class UserRepositories:
    """They stand in one database: whatever is done in the unit of work of one takes effect with the rest."""

    accounts: AccountRepository
    passwords: PasswordRepository
    sessions: SessionRepository
