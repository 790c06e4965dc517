"""What a password must be like, and how its hash is kept."""

from typing import Protocol

MIN_PASSWORD_CHARACTERS, MAX_PASSWORD_CHARACTERS = 8, 1_024


def password_fault(password: str) -> str | None:
    """Length is what makes a password strong; any character will do."""
    if not MIN_PASSWORD_CHARACTERS <= len(password) <= MAX_PASSWORD_CHARACTERS:
        return f"Must be {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters long"
    return None


class Passwords(Protocol):
    """Slow hashes of passwords. Both raise Unavailable when too many wait already."""

    async def hash(self, password: str) -> str:
        """A new salted hash."""

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the one; takes the same time, and says no, when there is none to compare with."""
