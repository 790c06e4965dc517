"""What is said in a room, and what can happen to it.

A message gets its room's next number as it is kept: so numbers have no gaps, whatever fails on the way, and
whoever has seen 1 to n has seen everything up to n. Its author chooses a key, good for one message in this
room for ever, under which the same may be sent again without being said twice.

A deleted message keeps its number, its key and its author, and loses its text.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.chat.domain.rooms import Access, name_fault
from shared.errors import Conflict, Forbidden
from shared.rules import Rule
from shared.text import is_printable, tidy_name

MAX_TEXT_CHARACTERS = 4_000
MAX_KEY_CHARACTERS = 100

_LINE_END = re.compile("\r\n|[\r\x85\u2028\u2029]")  # Unicode section 5.8


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be; `display_name` is what its author is called now."""

    room_id: UUID
    key: str
    text: str
    display_name: str


@dataclass(frozen=True, slots=True)
class Message:
    """What `user_id` has said, the `seq`-th of its room, from 1 on; without its text once it is deleted."""

    room_id: UUID
    seq: int
    user_id: UUID
    display_name: str
    text: str
    at: datetime
    deleted: bool = False

    def answering(self, draft: Draft) -> "Message":
        """This message, to somebody who has sent `draft` under its key. Raises Conflict for another text.

        What a deleted one said, nobody knows any more.
        """
        if not self.deleted and draft.text != self.text:
            raise Conflict("The key has been used for another message in this room.", code="key-reused")
        return self

    def delete(self, access: Access) -> "MessageDeleted | None":
        """Take it back; twice is once. Raises Forbidden."""
        if not access.may_take_back(self.user_id):
            raise Forbidden("Only its author and the owner of this room may delete a message.")
        if self.deleted:
            return None
        return MessageDeleted(replace(self, text="", deleted=True), access.asker.user_id)


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Messages of a room, in their order and without gaps; `head` is the room's newest number."""

    messages: Sequence[Message]
    head: int


# What has happened


@dataclass(frozen=True, slots=True)
class MessagePosted:
    """Somebody has said something."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessageDeleted:
    """A message was taken back: it is what is left of it."""

    message: Message
    deleted_by: UUID


MessageEvent = MessagePosted | MessageDeleted


# Rules


def tidied(draft: Draft) -> Draft:
    """`draft` as it is kept: lines end in one way. Nothing else of a text is touched."""
    text, name = _LINE_END.sub("\n", draft.text), tidy_name(draft.display_name)
    return replace(draft, text=text, display_name=name)


def fields(draft: Draft) -> Iterator[tuple[str, object]]:
    """What `draft` gives, by name."""
    yield "key", draft.key
    yield "text", draft.text
    yield "display_name", draft.display_name


def key_fault(key: str) -> str | None:
    """A key may be anything short that can be shown."""
    if not 1 <= len(key) <= MAX_KEY_CHARACTERS:
        return f"Must be 1 to {MAX_KEY_CHARACTERS} characters long, not {len(key)}"
    return None if is_printable(key) else "Must not contain control characters"


def text_fault(text: str) -> str | None:
    """A text may have several lines, and tabs."""
    if not 1 <= len(text) <= MAX_TEXT_CHARACTERS:
        return f"Must be 1 to {MAX_TEXT_CHARACTERS} characters long, not {len(text)}"
    return None if is_printable(text, "\t\n") else "Must not contain control characters"


MESSAGE_RULES: dict[str, Rule] = {"key": key_fault, "text": text_fault, "display_name": name_fault}


# What the use cases need


class MessageRepository(Protocol):
    """Where messages are kept. Every method raises Unavailable while that place cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def append(self, access: Access, draft: Draft) -> Message | None:
        """Make `draft` the next message of its room, by whoever has `access`, and report it.

        None, and nothing happens, when its key has been used, or when the room has lost a member since
        `access` was looked at.
        """

    async def under_key(self, access: Access, draft: Draft) -> Message | None:
        """What the same user has said in this room under the key of `draft`."""

    async def after(self, room_id: UUID, after: int, head: int, limit: int) -> list[Message]:
        """The messages numbered above `after` and up to `head`, from the oldest on.

        `limit` at most; fewer, but at least one of them, where they would be more than anybody wants at once.
        """

    async def before(self, room_id: UUID, before: int, limit: int) -> list[Message]:
        """The newest `limit` of the messages numbered below `before`, the oldest of them first."""

    async def hold(self, room_id: UUID, seq: int) -> Message | None:
        """The message; nobody else changes it until the unit of work, which must be open, has ended."""

    async def record(self, event: MessageDeleted) -> None:
        """Make `event` true, and report it. The message must be held."""
