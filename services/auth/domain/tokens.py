"""What a token says, whoever has signed it for us and however it is written down."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID


class TokenKind(StrEnum):
    """The two kinds, in OAuth's words (RFC 7009 section 2.1)."""

    ACCESS = "access_token"
    REFRESH = "refresh_token"


@dataclass(frozen=True, slots=True)
class SignedToken:
    """What a token that we have signed says; whether it may still be used is another question."""

    kind: TokenKind
    token_id: str
    key_id: str  # of the key that has signed it
    session_id: UUID
    user_id: UUID
    client_id: str
    issuer: str
    audience: tuple[str, ...]
    issued_at: datetime  # to the millisecond
    not_before: datetime
    expires_at: datetime
    roles: frozenset[str]


# What the use cases need


class TokenReader(Protocol):
    """Reads tokens. Every method raises Unavailable while there is no key."""

    async def catch_up(self) -> None:
        """Know the keys as they are now."""

    def read(self, token: str) -> SignedToken | None:
        """What a token of ours says; None when we have not signed it, or it has expired by itself."""

    def digest(self, refresh_token: str) -> bytes:
        """What to look a refresh token up by."""
