"""What a password must be like, and how its hash is kept."""

import unicodedata
from collections.abc import Container
from dataclasses import dataclass, field
from typing import Protocol
from uuid import UUID

from shared.text import is_stream_safe

MIN_PASSWORD_CHARACTERS, MAX_PASSWORD_CHARACTERS = 8, 1_024  # of the normal form
# Before normalising. The normal form can be shorter: "é" may be typed as two characters.
MAX_TYPED_CHARACTERS = 2 * MAX_PASSWORD_CHARACTERS


@dataclass(frozen=True, slots=True)
class StoredPassword:
    """What is kept of a password. A change counts `version` up; a new hash of the same password does not."""

    hash: str = field(repr=False)
    version: int


# Rules


def normal_form(password: str) -> str:
    """What two spellings of one password have in common: Unicode's normalization form KC.

    What is longer than MAX_TYPED_CHARACTERS is no password, and what would take long to normalise is no text
    of any language: both stay as they are.
    """
    if len(password) > MAX_TYPED_CHARACTERS or not is_stream_safe(password):
        return password
    return unicodedata.normalize("NFKC", password)


def guessing_key(text: str) -> str:
    """What a guesser who tries all spellings of a word would try once."""
    return normal_form(text).casefold()


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Which passwords may be chosen: length is what makes one strong, and any character will do.

    `common` holds the `guessing_key` of each that everybody guesses first.
    """

    common: Container[str] = field(repr=False)

    def fault(self, password: str, email: str = "") -> str | None:
        """What is wrong with it, for an account with that address."""
        if not MIN_PASSWORD_CHARACTERS <= len(normal_form(password)) <= MAX_PASSWORD_CHARACTERS:
            return f"Must be {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters long"
        key, address = guessing_key(password), guessing_key(email)
        if key in (address, address.rpartition("@")[0]):
            return "Must not be the e-mail address, nor its part before the @"
        if key in self.common:
            return "Is one of the most common passwords, which are guessed first"
        return None


# What the use cases need


class Passwords(Protocol):
    """Slow hashes of passwords. `hash` and `matches` raise Unavailable when too many wait already."""

    async def hash(self, password: str) -> str:
        """A new salted hash."""

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the one; takes the same time, and says no, when there is none to compare with."""

    def needs_rehash(self, password_hash: str) -> bool:
        """Whether it was made at a lower cost than is asked for now."""


class PasswordRepository(Protocol):
    """Where passwords' hashes are kept. Every method raises Unavailable while that cannot be reached."""

    async def find(self, user_id: UUID) -> StoredPassword | None:
        """The account's."""

    async def is_unchanged(self, user_id: UUID, since: StoredPassword) -> bool:
        """Whether the password is still the one that was read; it stays so while the user is held."""

    async def rehash(self, user_id: UUID, old_hash: str, new_hash: str) -> None:
        """Keep `new_hash` of the same password, unless `old_hash` has been replaced meanwhile.

        Not in a unit of work that holds the user: those share it, and two would wait for each other.
        """

    async def change(self, user_id: UUID, new_hash: str) -> None:
        """Another password, in a unit of work that has the user for itself."""
