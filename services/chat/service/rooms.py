"""What can be done with rooms. Each write reads as: find, decide, record."""

from collections.abc import Sequence
from uuid import UUID

from services.chat.domain.rooms import ROOM_RULES, Asker, Room, RoomRepository, create_room, known
from shared.ids import new_id
from shared.paging import Page, page_of
from shared.rules import check


class RoomService:
    """The use cases. Besides what each says, all raise Unavailable while the repository does.

    NotFound is raised of a room that the asker may not know of, too.
    """

    def __init__(self, rooms: RoomRepository) -> None:
        self._rooms = rooms

    async def create(self, owner: Asker, name: str, *, private: bool = False) -> Room:
        """A new room. Raises Invalid."""
        check([("name", name)], ROOM_RULES)
        created = create_room(new_id(), name, owner.user_id, private=private)
        await self._rooms.record(created)
        return created.room

    async def get(self, asker: Asker, room_id: UUID) -> Room:
        """The room. Raises NotFound."""
        return known(await self._rooms.access(room_id, asker)).room

    async def get_all(self, asker: Asker, room_ids: Sequence[UUID]) -> list[Room]:
        """Those of `room_ids` that the asker may know of."""
        found = await self._rooms.access_to_all(room_ids, asker)
        return [access.room for access in found if access.may_know]

    async def browse(self, asker: Asker, after: UUID | None = None, limit: int = 20) -> Page[Room]:
        """The rooms that the asker may know of, newest first."""
        if asker.is_admin:
            found = await self._rooms.page_of_all(after, limit + 1)
        else:
            found = await self._rooms.page(asker.user_id, after, limit + 1)
        return page_of(found, limit, lambda room: room.room_id)

    async def members(
        self, asker: Asker, room_id: UUID, after: UUID | None = None, limit: int = 20
    ) -> Page[UUID]:
        """Who belongs to the room. Raises NotFound."""
        known(await self._rooms.access(room_id, asker))
        found = await self._rooms.members(room_id, after, limit + 1)
        return page_of(found, limit, lambda user_id: user_id)

    async def add_member(self, asker: Asker, room_id: UUID, user_id: UUID) -> None:
        """The user belongs to the room, if they did not before. Raises NotFound, Forbidden."""
        async with self._rooms.unit_of_work():
            access = known(await self._rooms.hold(room_id, asker))
            added = access.add(user_id, is_member=await self._rooms.is_member(room_id, user_id))
            if added is not None:
                await self._rooms.record(added)

    async def remove_member(self, asker: Asker, room_id: UUID, user_id: UUID) -> None:
        """The user does not belong to the room, if they did. Raises NotFound, Forbidden, Conflict."""
        async with self._rooms.unit_of_work():
            access = known(await self._rooms.hold(room_id, asker))
            removed = access.remove(user_id, is_member=await self._rooms.is_member(room_id, user_id))
            if removed is not None:
                await self._rooms.record(removed)
