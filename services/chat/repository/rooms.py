"""Rooms and their members in PostgreSQL."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from psycopg.rows import TupleRow

from services.chat.domain.rooms import Access, Asker, MemberAdded, Room, RoomCreated, RoomEvent
from services.chat.events import reports
from shared.db.database import Database
from shared.db.statements import PAST_THE_NEWEST, every, execute, one
from shared.events.outbox import Outbox

_ACCESS = """
    SELECT room_id, name, private, owner_id, last_seq, removals,
        EXISTS (SELECT FROM members WHERE members.room_id = rooms.room_id AND user_id = %(user_id)s)
    FROM rooms"""
_ACCESS_TO_ONE = _ACCESS + " WHERE room_id = %(room_id)s"
_ACCESS_TO_ALL = _ACCESS + " WHERE room_id = ANY(%(room_ids)s)"
_LOCK = _ACCESS_TO_ONE + " FOR UPDATE"

_PAGE_OF_ALL = """
    SELECT room_id, name, private, owner_id, last_seq, removals
    FROM rooms WHERE room_id < %(after)s ORDER BY room_id DESC LIMIT %(limit)s"""
# Each half stops after a page of its own, however many rooms there are.
_PAGE = """
    (SELECT room_id, name, private, owner_id, last_seq, removals
     FROM rooms WHERE NOT private AND room_id < %(after)s
     ORDER BY room_id DESC LIMIT %(limit)s)
    UNION
    (SELECT room_id, name, private, owner_id, last_seq, removals
     FROM members JOIN rooms USING (room_id) WHERE user_id = %(user_id)s AND room_id < %(after)s
     ORDER BY room_id DESC LIMIT %(limit)s)
    ORDER BY room_id DESC LIMIT %(limit)s"""

_IS_MEMBER = "SELECT FROM members WHERE room_id = %s AND user_id = %s"
_MEMBERS = "SELECT user_id FROM members WHERE room_id = %(room_id)s"
_BY_USER = " ORDER BY user_id LIMIT %(limit)s"
_FIRST_MEMBERS = _MEMBERS + _BY_USER
_NEXT_MEMBERS = _MEMBERS + " AND user_id > %(after)s" + _BY_USER

_CREATE = """
    WITH room AS (
        INSERT INTO rooms (room_id, name, private, owner_id) VALUES (%s, %s, %s, %s)
        RETURNING room_id, owner_id
    )
    INSERT INTO members (room_id, user_id) SELECT room_id, owner_id FROM room"""
_ADD = "INSERT INTO members (room_id, user_id) VALUES (%s, %s)"
_REMOVE = """
    WITH removed AS (
        DELETE FROM members WHERE room_id = %s AND user_id = %s RETURNING room_id
    )
    UPDATE rooms SET removals = removals + 1 FROM removed WHERE rooms.room_id = removed.room_id"""


class PostgresRoomRepository:
    """The domain's RoomRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def access(self, room_id: UUID, asker: Asker) -> Access | None:
        """By primary key, the member too."""
        return await self._access(_ACCESS_TO_ONE, room_id, asker)

    async def access_to_all(self, room_ids: Sequence[UUID], asker: Asker) -> list[Access]:
        """By primary key, all at once."""
        values = {"room_ids": list(room_ids), "user_id": asker.user_id}
        return [_access(row, asker) for row in await every(self._database, _ACCESS_TO_ALL, values)]

    async def hold(self, room_id: UUID, asker: Asker) -> Access | None:
        """By primary key; the room's row stays locked until the transaction ends."""
        return await self._access(_LOCK, room_id, asker)

    async def is_member(self, room_id: UUID, user_id: UUID) -> bool:
        """By primary key."""
        return await one(self._database, _IS_MEMBER, [room_id, user_id]) is not None

    async def members(self, room_id: UUID, after: UUID | None, limit: int) -> list[UUID]:
        """By keyset, along the primary key."""
        values = {"room_id": room_id, "after": after, "limit": limit}
        rows = await every(self._database, _NEXT_MEMBERS if after else _FIRST_MEMBERS, values)
        return [user_id for (user_id,) in rows]

    async def page(self, user_id: UUID, after: UUID | None, limit: int) -> list[Room]:
        """By keyset, over the index of public rooms and that of a member's."""
        return await self._rooms(_PAGE, user_id, after, limit)

    async def page_of_all(self, after: UUID | None, limit: int) -> list[Room]:
        """By keyset, along the primary key."""
        return await self._rooms(_PAGE_OF_ALL, None, after, limit)

    async def record(self, event: RoomEvent) -> None:
        """Write the state that the event carries, then the report of it, while the row is locked."""
        async with self._database.transaction(type(event).__name__):
            if isinstance(event, RoomCreated):
                room = event.room
                await execute(self._database, _CREATE, [room.room_id, room.name, room.private, room.owner_id])
            else:
                statement = _ADD if isinstance(event, MemberAdded) else _REMOVE
                await execute(self._database, statement, [event.room_id, event.user_id])
            await self._outbox.add(reports(event))

    async def _access(self, query: str, room_id: UUID, asker: Asker) -> Access | None:
        row = await one(self._database, query, {"room_id": room_id, "user_id": asker.user_id})
        return None if row is None else _access(row, asker)

    async def _rooms(self, query: str, user_id: UUID | None, after: UUID | None, limit: int) -> list[Room]:
        values = {"user_id": user_id, "after": after or PAST_THE_NEWEST, "limit": limit}
        return [Room(*row) for row in await every(self._database, query, values)]


def _access(row: TupleRow, asker: Asker) -> Access:
    *room, is_member = row
    return Access(Room(*room), asker, is_member)
