"""What the gateway knows of users and messages, and what it needs of the chat service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Who:
    """A user as their ticket introduced them."""

    user_id: str
    display_name: str
    session_id: str
    token_id: str
    roles: frozenset[str]
    issued_at_ms: int  # when the ticket was issued, in Unix milliseconds


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a room; `at` is RFC 3339. Deleted, it has no text any more."""

    room_id: str
    seq: int
    user_id: str
    display_name: str
    text: str
    at: str
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Some messages that follow each other, and the room's newest number."""

    messages: Sequence[Message]
    head: int


class Chat(Protocol):
    """The chat service. Every call is made in the name of a user and raises Unavailable while it is away.

    NotFound for a room that this user may not know of.
    """

    async def post(self, who: Who, room_id: str, key: str, text: str) -> int:
        """Say something; its number. The same key again posts nothing. Raises Invalid, Conflict."""

    async def messages(self, who: Who, room_id: str, after: int, limit: int) -> History:
        """What follows the number `after`: at most `limit` messages, fewer when they are long."""

    async def heads(self, who: Who, room_ids: Sequence[str]) -> Mapping[str, int]:
        """The newest number of each room, without those that the user may not know of."""
