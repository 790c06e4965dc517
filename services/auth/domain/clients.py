"""Who, besides the gateways, may ask about tokens: the operator's own resource servers, each with a secret.

They are OAuth's confidential clients (RFC 6749 section 2.1), made by the operator and by nobody else. No
token is issued to them: ours all belong to the one first-party client that people log in with.
"""

import hashlib
import hmac
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from shared.errors import Unauthenticated
from shared.text import is_printable, tidy_name

MAX_CLIENT_NAME_CHARACTERS = 100
CLIENT_SECRET_BYTES = 32  # random: nobody guesses it, so a fast digest is enough


@dataclass(frozen=True, slots=True)
class Client:
    """A resource server; `name` is for people."""

    client_id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ClientCredentials:
    """What a client proves with that it is the one."""

    client_id: str
    client_secret: str = field(repr=False)


class ClientRefused(Unauthenticated):
    """There is no such client, or its secret is another one; nobody is told which."""

    def __init__(self) -> None:
        super().__init__("The client is unknown, or its secret is wrong.", code="invalid-client")


# Rules


def client_name_fault(name: str) -> str | None:
    """A name is one line, blanks around it not counted."""
    if not 1 <= len(tidy_name(name)) <= MAX_CLIENT_NAME_CHARACTERS:
        return f"Must be 1 to {MAX_CLIENT_NAME_CHARACTERS} characters long"
    return None if is_printable(name) else "Must not contain control characters"


CLIENT_RULES = {"name": client_name_fault}

_NOBODYS_DIGEST = bytes(hashlib.sha256().digest_size)  # no text is known to have it


def secret_digest(client_secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(client_secret.encode("utf-8", "surrogatepass")).digest()


def is_secret(client_secret: str, kept: bytes | None) -> bool:
    """Whether `kept` is its digest. Compares in constant time, and as long when nothing is kept."""
    return hmac.compare_digest(secret_digest(client_secret), kept or _NOBODYS_DIGEST)


# What the use cases need


class ClientRepository(Protocol):
    """Where clients are kept. Every method raises Unavailable while that cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def add_client(self, client_id: str, name: str, digest: bytes) -> None:
        """A new client."""

    async def find_client(self, client_id: str) -> tuple[Client, bytes] | None:
        """The client and its secret's digest, unless it has been removed."""

    async def list_clients(self) -> Sequence[Client]:
        """Every client that has not been removed, oldest first."""

    async def remove_client(self, client_id: str) -> bool:
        """Refuse it from now on. False when there is none."""
