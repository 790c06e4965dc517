"""Who is logged in, and how a refresh is decided."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum
from typing import Protocol
from uuid import UUID

from services.auth.domain.accounts import User
from services.auth.domain.revocations import Revocation


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
class LiveSession:
    """A session as its user sees it in a list."""

    session_id: UUID
    origin: Origin
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of an attempt to end sessions: how many were live, and what the gateways must hear.

    That includes what the store has not acknowledged of earlier ends: so whoever was answered 503 and asks
    again is told 204 only when all of it is there.
    """

    session_count: int
    revocations: Sequence[Revocation]


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


class LogoutScope(StrEnum):
    """Which sessions a logout ends: this one, all but this one, or all."""

    LOCAL = "local"
    OTHERS = "others"
    GLOBAL = "global"


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


# What the use cases need


class SessionRepository(Protocol):
    """Where sessions are kept. Every method raises Unavailable while that cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def add_session(self, session: Session, origin: Origin, token: RefreshToken) -> None:
        """A new session with its first refresh token."""

    async def find_session(self, session_id: UUID) -> Session | None:
        """The session as it was last left."""

    async def hold_session(self, session_id: UUID) -> tuple[Session, User, datetime] | None:
        """The session, its user and the time; nobody else touches either until the unit of work ends."""

    async def find_refresh_token(self, session_id: UUID, digest: bytes) -> RefreshToken | None:
        """What became of a refresh token of that session."""

    async def rotate(self, session: Session, used: RefreshToken, successor: RefreshToken) -> None:
        """`used` has been used and points to `successor`; the session expires as `session` says."""

    async def live_sessions(self, user_id: UUID, after: UUID | None, limit: int) -> Sequence[LiveSession]:
        """The user's, newest first; those that are older than the session `after`, if given."""

    async def end_session(self, session_id: UUID, user_id: UUID, reason: str) -> Ended | None:
        """End one session of that user, who may have ended it before; None when there is no such session."""

    async def end_sessions(self, user_id: UUID, reason: str, *, spared: UUID | None = None) -> Ended:
        """End every live session of a user but the spared one."""


class TokenMaker(Protocol):
    """Makes and reads tokens. Every method raises Unavailable while there is no key."""

    async def catch_up(self) -> None:
        """Know the keys as they are now: before a token is made or read, outside of any unit of work."""

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
