"""Rooms, who belongs to them, and who may do what there.

A public room is for everybody who is logged in, a private one for its members. Its owner is one of them,
from the beginning and for good. Whoever may know of a room may read and write there; for everybody else there
is no such room. All that somebody may do follows from their `Access`, and nothing else is asked anywhere.

A decision (`Access.add`, `Access.remove`) returns the event it amounts to, or None when nothing happens.
Whoever records the event makes it true.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from shared.errors import Conflict, Forbidden, NotFound
from shared.rules import Rule
from shared.text import is_deceptive, is_printable, tidy_name

MAX_NAME_CHARACTERS = 100  # of a room, and of a user


@dataclass(frozen=True, slots=True)
class Room:
    """A place to talk. `last_seq` is its newest message's number, `removals` how many members it has lost."""

    room_id: UUID
    name: str
    private: bool
    owner_id: UUID
    last_seq: int = 0
    removals: int = 0


@dataclass(frozen=True, slots=True)
class Asker:
    """Who wants something."""

    user_id: UUID
    is_admin: bool = False


@dataclass(frozen=True, slots=True)
class Access:
    """What `asker` may do in `room`. Admins may do whatever its owner may."""

    room: Room
    asker: Asker
    is_member: bool

    @property
    def may_know(self) -> bool:
        """Whether there is such a room at all, as far as the asker is concerned."""
        return self.is_member or self.asker.is_admin or not self.room.private

    @property
    def is_in_charge(self) -> bool:
        """Whether it is for them to say who belongs here, and what stays."""
        return self.asker.is_admin or self._is_asker(self.room.owner_id)

    def may_take_back(self, author_id: UUID) -> bool:
        """Whether they may delete what `author_id` has said."""
        return self.is_in_charge or self._is_asker(author_id)

    def add(self, user_id: UUID, *, is_member: bool) -> "MemberAdded | None":
        """The user, who may be a member already, belongs to the room. Raises Forbidden."""
        if not self.is_in_charge:
            raise Forbidden("Only the owner of this room may add members.")
        return None if is_member else MemberAdded(self.room.room_id, user_id)

    def remove(self, user_id: UUID, *, is_member: bool) -> "MemberRemoved | None":
        """The user no longer belongs to the room; everybody may leave. Raises Forbidden, Conflict."""
        if not self.is_in_charge and not self._is_asker(user_id):
            raise Forbidden("Only the owner of this room may remove other members.")
        if user_id == self.room.owner_id:
            raise Conflict("The owner of a room stays a member.", code="owner-stays")
        return MemberRemoved(self.room.room_id, user_id) if is_member else None

    def _is_asker(self, user_id: UUID) -> bool:
        return user_id == self.asker.user_id


def known(access: Access | None) -> Access:
    """`access`, if there is such a room for whoever asks. Raises NotFound."""
    if access is None or not access.may_know:
        raise NotFound("There is no such room.")
    return access


# What has happened


@dataclass(frozen=True, slots=True)
class RoomCreated:
    """There is a new room, and its owner belongs to it."""

    room: Room


@dataclass(frozen=True, slots=True)
class MemberAdded:
    """Somebody belongs to a room from now on."""

    room_id: UUID
    user_id: UUID


@dataclass(frozen=True, slots=True)
class MemberRemoved:
    """Somebody no longer belongs to a room."""

    room_id: UUID
    user_id: UUID


RoomEvent = RoomCreated | MemberAdded | MemberRemoved


def create_room(room_id: UUID, name: str, owner_id: UUID, *, private: bool) -> RoomCreated:
    """A new room, in which nothing has been said yet."""
    return RoomCreated(Room(room_id, tidy_name(name), private, owner_id))


# Rules


def name_fault(name: str) -> str | None:
    """A name is one line, blanks around it not counted."""
    length = len(tidy_name(name))
    if not 1 <= length <= MAX_NAME_CHARACTERS:
        return f"Must be 1 to {MAX_NAME_CHARACTERS} characters long, not {length}"
    return "Must not contain control characters" if not is_printable(name) or is_deceptive(name) else None


ROOM_RULES: dict[str, Rule] = {"name": name_fault}


# What the use cases need


class RoomRepository(Protocol):
    """Where rooms are kept. Every method raises Unavailable while that place cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def access(self, room_id: UUID, asker: Asker) -> Access | None:
        """The room, as it is to `asker`, whether or not they may know of it."""

    async def access_to_all(self, room_ids: Sequence[UUID], asker: Asker) -> list[Access]:
        """The same of those of `room_ids` that there are."""

    async def hold(self, room_id: UUID, asker: Asker) -> Access | None:
        """As `access`; nobody else changes the room until the unit of work, which must be open, has ended."""

    async def is_member(self, room_id: UUID, user_id: UUID) -> bool:
        """Whether the user belongs to the room."""

    async def members(self, room_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
        """Up to `limit` members, by their identifiers, from the one after `after` on."""

    async def page(self, user_id: UUID, after: UUID | None, limit: int) -> list[Room]:
        """Up to `limit` rooms, public or with this member, newest first, from the one after `after` on."""

    async def page_of_all(self, after: UUID | None, limit: int) -> list[Room]:
        """Up to `limit` rooms, newest first, from the one after `after` on."""

    async def record(self, event: RoomEvent) -> None:
        """Make `event` true, and report it. A room whose members change must be held."""
