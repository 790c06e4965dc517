"""What the gateways must refuse although it is signed and has not expired."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


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

    def refuses(self, issued_at: datetime) -> bool:
        """Whether it refuses a token that carries `name`. What a user gets later is good again."""
        return self.kind is not RevokedKind.USER or issued_at <= self.revoked_at


class TokenRevocations(Protocol):
    """Where the end of single tokens is kept. Both raise Unavailable while that cannot be reached."""

    async def is_token_revoked(self, token_id: str) -> bool:
        """Whether it has been revoked by its own name."""

    async def revoke_token(self, token_id: str, expires_at: datetime) -> Sequence[Revocation]:
        """Refuse one token from now on; at `expires_at` it ends by itself."""


class Revocations(Protocol):
    """How revocations reach the gateways."""

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Returns when the store has them. Raises Unavailable otherwise; they are sent again until it has."""
