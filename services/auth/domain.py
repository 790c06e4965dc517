"""Who there is, which rules accounts obey, how a refresh is decided. Pure: no I/O, no clock, no chance."""

import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Protocol
from uuid import UUID

from shared.text import is_printable, tidy, tidy_name

MIN_PASSWORD_CHARACTERS, MAX_PASSWORD_CHARACTERS = 8, 1_024
MAX_EMAIL_CHARACTERS = 254  # what fits an SMTP path (RFC 5321 section 4.5.3.1.3)
MAX_LOCAL_PART_CHARACTERS = 64
MAX_DISPLAY_NAME_CHARACTERS = 100

USER, ADMIN = "user", "admin"
ROLE = re.compile(r"[a-z][a-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class User:
    """One account. `email` is spelled as its owner does; two spellings that differ in case are the same."""

    user_id: UUID
    email: str
    display_name: str
    roles: tuple[str, ...] = (USER,)
    is_locked: bool = False


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a login came from, as the session list shows it."""

    device: str
    address: str


@dataclass(frozen=True, slots=True)
class Session:
    """One login on one device. It lives while it is used, until `expires_at`, and never past `ends_by`."""

    session_id: UUID
    user_id: UUID
    expires_at: datetime  # moves with every use
    ends_by: datetime
    ended_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Whether tokens may still be issued for it."""
        return self.ended_at is None and now < self.expires_at


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    """How long a session may lie idle, how long it may last, and for how long a lost answer is repeated."""

    idle: timedelta
    longest: timedelta
    grace: timedelta


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client gets. `expires_in` is the access token's life in seconds."""

    session_id: UUID
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)


# Refreshing


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """What is kept of a refresh token: its digest, and what has become of it."""

    digest: bytes
    used_at: datetime | None = None
    sealed_successor: bytes | None = None
    is_successor_used: bool = False


class Decision(Enum):
    """What becomes of a refresh."""

    ROTATE = "a new pair, and this token is used up"
    REPEAT = "the same successor again: the first answer may have been lost, or two tabs asked at once"
    END = "somebody has a copy: nobody may go on with this session"
    REFUSE = "there is nothing to refresh"


def decide_refresh(
    session: Session | None, token: RefreshToken | None, now: datetime, grace: timedelta
) -> Decision:
    """The answer to a refresh token that we have signed.

    A used token that comes again is a copy of it, in the wrong hands or in the right ones; we cannot know
    which. It is forgiven only for as long as a client needs to ask again after a lost answer, and only while
    nobody has used the successor.
    """
    if session is None or token is None or not session.is_live(now):
        return Decision.REFUSE
    if token.used_at is None:
        return Decision.ROTATE
    in_grace = now - token.used_at <= grace and token.sealed_successor is not None
    return Decision.REPEAT if in_grace and not token.is_successor_used else Decision.END


# Revoking


class RevokedKind(StrEnum):
    """What a revocation names: one session, one token, all that a user has so far, or a signing key."""

    SESSION = "sid"
    TOKEN = "jti"  # noqa: S105
    USER = "user"
    KEY = "kid"


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens of `name` are refused from `revoked_at` until `expires_at`, when the last one has expired."""

    kind: RevokedKind
    name: str
    revoked_at: datetime
    expires_at: datetime


class LogoutScope(StrEnum):
    """Which sessions a logout ends: this one, all but this one, or all."""

    LOCAL = "local"
    OTHERS = "others"
    GLOBAL = "global"


# Rules

_LOCAL_PART = re.compile(r"[^\s\x00-\x20\x7f\"(),:;<>@\[\\\].]+(?:\.[^\s\x00-\x20\x7f\"(),:;<>@\[\\\].]+)*")
_DOMAIN = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))*")


def email_fault(email: str) -> str | None:
    """Syntax only (RFC 5321 section 4.1.2, without quoting): whether anybody reads it, no syntax tells."""
    local_part, _, domain = email.rpartition("@")
    if len(email) > MAX_EMAIL_CHARACTERS:
        return f"Must be at most {MAX_EMAIL_CHARACTERS} characters long"
    if len(local_part) > MAX_LOCAL_PART_CHARACTERS or not is_printable(email):
        return "Is not an e-mail address"
    if not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        return "Is not an e-mail address"
    return None


def password_fault(password: str) -> str | None:
    """Length is what makes a password strong; any character will do."""
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        return f"Must be {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters long"
    return None


def display_name_fault(name: str) -> str | None:
    """A name is one line, blanks around it not counted."""
    if not 1 <= len(tidy_name(name)) <= MAX_DISPLAY_NAME_CHARACTERS:
        return f"Must be 1 to {MAX_DISPLAY_NAME_CHARACTERS} characters long"
    return None if is_printable(name) else "Must not contain control characters"


ACCOUNT_RULES = {
    "email": email_fault,
    "password": password_fault,
    "display_name": display_name_fault,
}


def email_key(email: str) -> str:
    """What two spellings of one address have in common."""
    return tidy(email).lower()


# What the use cases need


class AccountRepository(Protocol):
    """Where accounts and sessions are kept. Every method raises Unavailable while that cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def add_user(self, user: User, password_hash: str) -> bool:
        """False when the e-mail address is taken."""

    async def find_login(self, email: str) -> tuple[User, str] | None:
        """The account with that address in any spelling, and its password's hash."""

    async def find_user(self, user_id: UUID) -> User | None:
        """The account."""

    async def list_users(self) -> Sequence[User]:
        """Every account, oldest first."""

    async def hold_user(self, user_id: UUID) -> tuple[User, datetime] | None:
        """The account and the time, both valid until the unit of work ends: nobody revokes in between."""

    async def set_roles(self, user_id: UUID, roles: Sequence[str]) -> Sequence[Revocation]:
        """New roles, and the end of every token that carries the old ones."""

    async def add_session(self, session: Session, origin: Origin, token: RefreshToken) -> None:
        """A new session with its first refresh token."""

    async def hold_session(self, session_id: UUID) -> tuple[Session, User, datetime] | None:
        """The session, its user and the time; nobody else touches either until the unit of work ends."""

    async def find_refresh_token(self, session_id: UUID, digest: bytes) -> RefreshToken | None:
        """What became of a refresh token of that session."""

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """`used` has been used and points to `successor`; the session expires as `session` says."""

    async def end_session(self, session_id: UUID, user_id: UUID, reason: str) -> Sequence[Revocation]:
        """End one session of that user; the revocation also when it has ended already."""

    async def end_sessions(
        self, user_id: UUID, reason: str, *, spared: UUID | None = None
    ) -> Sequence[Revocation]:
        """End every live session of a user but the spared one."""


class Passwords(Protocol):
    """Slow hashes of passwords. Both raise Unavailable when too many wait already."""

    async def hash(self, password: str) -> str:
        """A new salted hash."""

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the one; takes the same time, and says no, when there is none to compare with."""


class TokenMaker(Protocol):
    """Makes and reads tokens. Every method raises Unavailable while there is no key."""

    def issue(self, user: User, session: Session, now: datetime) -> Tokens:
        """A new pair."""

    def session_of(self, refresh_token: str) -> UUID | None:
        """The session that a refresh token of ours belongs to; None when we have not signed it."""

    def reissue(self, user: User, session: Session, now: datetime, refresh_token: str) -> Tokens:
        """A new access token beside a refresh token that exists already."""

    def digest(self, refresh_token: str) -> bytes:
        """What to look a refresh token up by."""

    def seal_successor(self, refresh_token: str, successor: str) -> bytes:
        """`successor` so that only whoever has `refresh_token` can read it."""

    def unseal_successor(self, refresh_token: str, sealed: bytes) -> str:
        """The reverse."""


class Revocations(Protocol):
    """How revocations reach the gateways."""

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Returns when the store has them. Raises Unavailable otherwise; they are sent again until it has."""
