"""Who there is, and which rules accounts obey."""

import re
import unicodedata
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.auth.domain.passwords import StoredPassword
from services.auth.domain.revocations import Revocation
from shared.text import is_deceptive, is_printable, tidy, tidy_name

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


# Rules

_LOCAL_PART = re.compile(r"[^\s\x00-\x20\x7f\"(),:;<>@\[\\\].]+(?:\.[^\s\x00-\x20\x7f\"(),:;<>@\[\\\].]+)*")
_DOMAIN = re.compile(r"(?!-)[\w-]{1,63}(?<!-)(?:\.(?!-)[\w-]{1,63}(?<!-))*")
_UNSTORABLE = re.compile(r"[\0\ud800-\udfff]")  # what PostgreSQL's text cannot hold: NUL, lone surrogates


def email_fault(email: str) -> str | None:
    """Syntax only (RFC 5321 section 4.1.2, without quoting): whether anybody reads it, no syntax tells."""
    local_part, _, domain = email.rpartition("@")
    if len(email) > MAX_EMAIL_CHARACTERS:
        return f"Must be at most {MAX_EMAIL_CHARACTERS} characters long"
    if len(local_part) > MAX_LOCAL_PART_CHARACTERS or not is_printable(email) or _has_invisible(email):
        return "Is not an e-mail address"
    if not _LOCAL_PART.fullmatch(local_part) or not _DOMAIN.fullmatch(domain):
        return "Is not an e-mail address"
    return None


def _has_invisible(text: str) -> bool:
    """Format characters (Cf): with one, two addresses that look the same are two accounts."""
    return any(unicodedata.category(character) == "Cf" for character in text)


def display_name_fault(name: str) -> str | None:
    """A name is one line, blanks around it not counted."""
    if not 1 <= len(tidy_name(name)) <= MAX_DISPLAY_NAME_CHARACTERS:
        return f"Must be 1 to {MAX_DISPLAY_NAME_CHARACTERS} characters long"
    return "Must not contain control characters" if not is_printable(name) or is_deceptive(name) else None


ACCOUNT_RULES = {"email": email_fault, "display_name": display_name_fault}


def email_key(email: str) -> str:
    """What two spellings of one address have in common.

    It can be looked up whatever a stranger typed: what PostgreSQL cannot hold becomes a blank, and no address
    has one.
    """
    return tidy(_UNSTORABLE.sub(" ", email)).lower()


# What the use cases need


class AccountRepository(Protocol):
    """Where accounts are kept. Every method raises Unavailable while that cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def add_user(self, user: User, password_hash: str) -> bool:
        """False when the e-mail address is taken."""

    async def find_login(self, email: str) -> tuple[User, StoredPassword] | None:
        """The account with that address in any spelling, and its password."""

    async def find_user(self, user_id: UUID) -> User | None:
        """The account."""

    async def list_users(self) -> Sequence[User]:
        """Every account, oldest first."""

    async def hold_user(self, user_id: UUID) -> tuple[User, datetime] | None:
        """The account and the time, both valid until the unit of work ends: nobody revokes in between."""

    # What the operator does

    def administration(self) -> AbstractAsyncContextManager[object]:
        """A unit of work beside which no other one of this kind runs."""

    async def hold_user_alone(self, user_id: UUID) -> User | None:
        """The account; nobody else holds it until the unit of work ends."""

    async def has_other_admin(self, user_id: UUID) -> bool:
        """Whether somebody else is an admin and not locked."""

    async def set_roles(self, user_id: UUID, roles: Sequence[str]) -> None:
        """New roles, and the end of every token that carries the old ones."""

    async def lock_user(self, user_id: UUID) -> None:
        """Locked from now on, and the end of every token."""

    async def unlock_user(self, user_id: UUID) -> None:
        """Not locked any more."""

    async def unsent_revocations(self, user_id: UUID) -> Sequence[Revocation]:
        """What the gateways may not have heard yet of the user and the user's sessions."""
