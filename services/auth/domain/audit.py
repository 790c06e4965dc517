"""What is written down for whoever must find out later what happened."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class Event(StrEnum):
    """What can happen."""

    SIGNED_UP = "signed-up"
    LOGGED_IN = "logged-in"
    LOGIN_FAILED = "login-failed"
    GUESSING_LOCKED = "guessing-locked"  # too many failures: an account or an address has to wait
    REFRESHED = "refreshed"
    REFRESH_TOKEN_REUSED = "refresh-token-reused"  # noqa: S105 - and its session is ended
    LOGGED_OUT = "logged-out"
    SESSION_ENDED = "session-ended"  # by its user, from whichever session
    PASSWORD_CHANGED = "password-changed"  # noqa: S105
    SECOND_FACTOR_ENABLED = "second-factor-enabled"
    SECOND_FACTOR_DISABLED = "second-factor-disabled"
    RECOVERY_CODE_USED = "recovery-code-used"
    ACCOUNT_LOCKED = "account-locked"
    ACCOUNT_UNLOCKED = "account-unlocked"
    ADDRESS_UNLOCKED = "address-unlocked"  # before its time, by the operator
    ROLES_CHANGED = "roles-changed"
    KEY_MADE = "key-made"
    KEY_REVOKED = "key-revoked"
    CLIENT_ADDED = "client-added"
    CLIENT_REMOVED = "client-removed"
    TOKEN_REVOKED = "token-revoked"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts where no request is being answered: `kind` is operator or server, `name` the operator's."""

    kind: str
    name: str = ""


SERVER = Actor("server")


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One thing that happened, and whom it concerns. `details` never hold a secret."""

    event: Event
    user_id: UUID | None = None
    session_id: UUID | None = None
    details: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditRow:
    """An entry as it is kept: with when, who did it, from where and in which request.

    `actor` is client, operator or server. `email` is the user's as it is now; empty when nobody is concerned.
    """

    audit_id: int
    at: datetime
    actor: str
    address: str
    request_id: str
    email: str
    entry: AuditEntry


class AuditLog(Protocol):
    """Where entries are kept for good. Both raise Unavailable while that cannot be reached."""

    async def write(self, entry: AuditEntry) -> None:
        """Add an entry, in the unit of work of what it tells; who and from where, the context knows."""

    async def read(
        self,
        *,
        user_id: UUID | None = None,
        event: Event | None = None,
        address: str | None = None,
        limit: int = 100,
    ) -> Sequence[AuditRow]:
        """The latest entries, oldest first, of one user, event and client address if given."""
