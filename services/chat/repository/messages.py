"""Messages in PostgreSQL."""

import asyncio
from contextlib import AbstractAsyncContextManager
from uuid import UUID
from weakref import WeakValueDictionary

import psycopg
from psycopg.rows import TupleRow

from services.chat.domain.messages import Draft, Message, MessageDeleted, MessageEvent, MessagePosted
from services.chat.domain.rooms import Access
from services.chat.events import reports
from shared.db.database import Database
from shared.db.statements import every, execute, one
from shared.events.outbox import Outbox

MOST_BYTES = 1_048_576  # of text in one answer: a gRPC client takes 4 MiB, names and all

_SELECT = """
    SELECT room_id, seq, user_id, display_name, text, at, deleted_by IS NOT NULL
    FROM messages
    WHERE room_id = %(room_id)s"""

# The room's row is locked from here on until the transaction ends: numbers are given in the order in which
# they are committed, and one that is not committed is given again. Whoever has waited for the lock sees the
# removals that there are now, but not the keys: two equal ones meet at the constraint.
_APPEND = """
    WITH room AS (
        UPDATE rooms SET last_seq = last_seq + 1
        WHERE room_id = %(room_id)s AND removals = %(removals)s AND NOT EXISTS (
            SELECT FROM messages
            WHERE messages.room_id = %(room_id)s AND user_id = %(user_id)s AND key = %(key)s)
        RETURNING last_seq
    )
    INSERT INTO messages (room_id, seq, user_id, key, display_name, text, at)
    SELECT %(room_id)s, last_seq, %(user_id)s, %(key)s, %(display_name)s, %(text)s, clock_timestamp()
    FROM room
    RETURNING room_id, seq, user_id, display_name, text, at, false"""
_UNDER_KEY = _SELECT + " AND user_id = %(user_id)s AND key = %(key)s"

# A message is in the page if those before it in the page have less than so many bytes of text.
_AFTER = """
    WITH page AS (
        SELECT *, sum(octet_length(text)) OVER (ORDER BY seq) - octet_length(text) AS bytes_before
        FROM (
            SELECT * FROM messages
            WHERE room_id = %(room_id)s AND seq > %(after)s AND seq <= %(head)s
            ORDER BY seq LIMIT %(limit)s
        ) AS longest_page
    )
    SELECT room_id, seq, user_id, display_name, text, at, deleted_by IS NOT NULL
    FROM page WHERE bytes_before < %(most_bytes)s
    ORDER BY seq"""
_BEFORE = _SELECT + " AND seq < %(before)s ORDER BY seq DESC LIMIT %(limit)s"

_LOCK = _SELECT + " AND seq = %(seq)s FOR UPDATE"
_DELETE = """
    UPDATE messages SET (text, deleted_by, deleted_at) = ('', %s, clock_timestamp())
    WHERE room_id = %s AND seq = %s"""


class PostgresMessageRepository:
    """The domain's MessageRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox
        self._turns: WeakValueDictionary[UUID, asyncio.Lock] = WeakValueDictionary()

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def append(self, access: Access, draft: Draft) -> Message | None:
        """One after the other in each room, so that of all connections a busy room has one."""
        async with self._turns.setdefault(draft.room_id, asyncio.Lock()):
            try:
                return await self._append(access, draft)
            except psycopg.errors.UniqueViolation:
                return None  # somebody with the same key was quicker, in another process

    async def under_key(self, access: Access, draft: Draft) -> Message | None:
        """Over the index of the keys."""
        return _found(await one(self._database, _UNDER_KEY, _key(access, draft)))

    async def after(self, room_id: UUID, after: int, head: int, limit: int) -> list[Message]:
        """By keyset, along the primary key; no more than MOST_BYTES of text, the last message's aside."""
        bounds = {"after": after, "head": head, "limit": limit, "most_bytes": MOST_BYTES}
        rows = await every(self._database, _AFTER, {"room_id": room_id, **bounds})
        return [_message(row) for row in rows]

    async def before(self, room_id: UUID, before: int, limit: int) -> list[Message]:
        """By keyset, along the primary key backwards."""
        values = {"room_id": room_id, "before": before, "limit": limit}
        newest_first = await every(self._database, _BEFORE, values)
        return [_message(row) for row in reversed(newest_first)]

    async def hold(self, room_id: UUID, seq: int) -> Message | None:
        """By primary key; the row stays locked until the transaction ends."""
        return _found(await one(self._database, _LOCK, {"room_id": room_id, "seq": seq}))

    async def record(self, event: MessageDeleted) -> None:
        """The text is gone from the table; in the outbox it is until its report is cleaned away."""
        message = event.message
        async with self._database.transaction(type(event).__name__):
            await execute(self._database, _DELETE, [event.deleted_by, message.room_id, message.seq])
            await self._report(event)

    async def _append(self, access: Access, draft: Draft) -> Message | None:
        """What goes wrong in this transaction takes the number back."""
        values = {**_key(access, draft), "removals": access.room.removals, "text": draft.text}
        async with self._database.transaction(MessagePosted.__name__):
            row = await one(self._database, _APPEND, {**values, "display_name": draft.display_name})
            if row is None:
                return None
            message = _message(row)
            await self._report(MessagePosted(message))
            return message

    async def _report(self, event: MessageEvent) -> None:
        await self._outbox.add(reports(event))


def _key(access: Access, draft: Draft) -> dict[str, object]:
    return {"room_id": access.room.room_id, "user_id": access.asker.user_id, "key": draft.key}


def _found(row: TupleRow | None) -> Message | None:
    return None if row is None else _message(row)


def _message(row: TupleRow) -> Message:
    return Message(*row)
