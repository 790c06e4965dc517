"""The rooms there are, and what has been said in them: the HTTP half of the chat."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from scripts.support.chat.session import Session
from shared.ids import parse_id

PAGE = 100


class AmbiguousName(Exception):
    """Several rooms are called so; the message names them."""


@dataclass(frozen=True, slots=True)
class Room:
    """A place to talk."""

    room_id: str
    name: str
    is_private: bool


async def list_rooms(session: Session) -> list[Room]:
    """All that the user may know of. Raises as `Session.ask`."""
    return [_room(each) async for each in _items(session, "/chat/rooms")]


async def find_room(session: Session, name_or_id: str) -> Room | None:
    """The one that is meant, if there is any. Raises AmbiguousName, and as `Session.ask`."""
    if parse_id(name_or_id) is not None:
        return _room(await session.ask("GET", f"/chat/rooms/{name_or_id}"))
    found = [room for room in await list_rooms(session) if room.name == name_or_id]
    if len(found) > 1:
        ids = ", ".join(room.room_id for room in found)
        raise AmbiguousName(f"{len(found)} rooms are called so; say which by its id: {ids}")
    return found[0] if found else None


async def create_room(session: Session, name: str, *, is_private: bool) -> Room:
    """A new one, whose owner the user is. Raises as `Session.ask`."""
    return _room(await session.ask("POST", "/chat/rooms", {"name": name, "private": is_private}))


async def invite(session: Session, room: Room, user_id: str) -> None:
    """Another member for a room of the user's. Raises as `Session.ask`."""
    await session.ask("PUT", f"/chat/rooms/{room.room_id}/members/{quote(user_id, safe='')}")


async def history(session: Session, room_id: str, after: int, upto: int) -> AsyncIterator[list[Any]]:
    """The messages with numbers after `after` up to `upto`, page by page. Raises as `Session.ask`."""
    while after < upto:
        limit = min(PAGE, upto - after)
        target = f"/chat/rooms/{room_id}/messages?after={after}&limit={limit}"
        messages = (await session.ask("GET", target))["items"]
        if not messages:
            return
        yield messages
        after = int(messages[-1]["seq"])


async def _items(session: Session, target: str) -> AsyncIterator[Any]:
    cursor = ""
    while cursor is not None:
        more = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        page = await session.ask("GET", f"{target}?limit={PAGE}{more}")
        for item in page["items"]:
            yield item
        cursor = page["next"]


def _room(document: Any) -> Room:
    return Room(document["room_id"], document["name"], document["private"])
