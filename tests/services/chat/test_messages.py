"""Saying something, reading and deleting it, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from services.chat.domain.messages import MAX_TEXT_CHARACTERS, Draft, Excerpt, Message
from services.chat.domain.rooms import Access, Room
from services.chat.main import NAME
from services.chat.repository import messages as messages_module
from services.chat.repository import rooms as rooms_module
from services.chat.repository.messages import PostgresMessageRepository
from services.chat.repository.rooms import PostgresRoomRepository
from services.chat.service.messages import MOST_TRIES, MessageService
from services.chat.service.rooms import RoomService
from shared.db.database import POOL_SIZE, Database
from shared.db.statements import every, execute
from shared.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from shared.events.outbox import Outbox
from tests.services.chat.talking import ADMIN, ALL, ANN, BEN, CEM, UNKNOWN, draft, is_gapless, numbers, said
from tests.services.databases import refusing_rows
from tests.services.events import in_the_outbox
from tests.waiting import eventually

POSTERS = 20


@pytest.fixture
async def room(rooms: RoomService) -> Room:
    """A private one, of Ann and Ben."""
    room = await rooms.create(ANN, "Tea", private=True)
    await rooms.add_member(ANN, room.room_id, BEN.user_id)
    return room


async def test_messages_are_numbered_and_read_in_their_order(messages: MessageService, room: Room) -> None:
    assert await said(messages, room.room_id) == Excerpt([], 0)
    posted = [await messages.post(BEN, draft(room.room_id, key, f"a\r\n{key}", " Ben ")) for key in "abcde"]
    assert numbers(posted) == [1, 2, 3, 4, 5]
    assert (posted[0].user_id, posted[0].display_name, posted[0].text) == (BEN.user_id, "Ben", "a\na")
    assert await said(messages, room.room_id) == Excerpt(posted, 5)
    assert await messages.after(ANN, room.room_id, 1, 2) == Excerpt(posted[1:3], 5)
    assert await messages.after(ANN, room.room_id, 5, 2) == Excerpt([], 5)
    assert await messages.before(ANN, room.room_id, 4, 2) == Excerpt(posted[1:3], 5)
    assert await messages.before(ANN, room.room_id, 99, 2) == Excerpt(posted[3:], 5)


async def test_a_key_is_good_for_one_message_of_one_user_in_one_room(
    messages: MessageService, rooms: RoomService, room: Room
) -> None:
    first = await messages.post(BEN, draft(room.room_id, "k"))
    assert await messages.post(BEN, draft(room.room_id, "k", display_name="Benjamin")) == first
    with pytest.raises(Conflict):
        await messages.post(BEN, draft(room.room_id, "k", "other"))
    assert (await messages.post(ANN, draft(room.room_id, "k", "other"))).seq == 2
    elsewhere = await rooms.create(BEN, "Coffee")
    assert (await messages.post(BEN, draft(elsewhere.room_id, "k"))).seq == 1
    assert (await said(messages, room.room_id)).head == 2


async def test_a_deleted_message_leaves_a_tombstone(
    database: Database, messages: MessageService, room: Room
) -> None:
    await messages.post(BEN, draft(room.room_id, "k", "never mind"))
    with pytest.raises(NotFound):
        await messages.delete(BEN, room.room_id, 2)
    for _ in range(2):
        await messages.delete(ANN, room.room_id, 1)
    [tombstone] = (await said(messages, room.room_id)).messages
    assert (tombstone.deleted, tombstone.text, tombstone.user_id) == (True, "", BEN.user_id)
    assert await messages.post(BEN, draft(room.room_id, "k", "never mind")) == tombstone
    assert await every(database, "SELECT text, key, deleted_by FROM messages") == [("", "k", ANN.user_id)]
    assert [each.type.rpartition(".")[2] for each in await in_the_outbox(database)][-2:] == [
        "MessagePosted",
        "MessageDeleted",
    ]


async def test_strangers_neither_read_nor_write_nor_delete(messages: MessageService, room: Room) -> None:
    await messages.post(BEN, draft(room.room_id, "k"))
    for room_id, asker in ((room.room_id, CEM), (UNKNOWN, ADMIN)):
        for attempt in (
            messages.post(asker, draft(room_id, "k")),
            messages.after(asker, room_id, 0, ALL),
            messages.before(asker, room_id, 9, ALL),
            messages.delete(asker, room_id, 1),
        ):
            with pytest.raises(NotFound):
                await attempt
    assert (await said(messages, room.room_id, ADMIN)).head == 1


async def test_who_was_removed_is_a_stranger(
    messages: MessageService, rooms: RoomService, room: Room
) -> None:
    await messages.post(BEN, draft(room.room_id, "k"))
    await rooms.remove_member(ANN, room.room_id, BEN.user_id)
    for attempt in (
        messages.post(BEN, draft(room.room_id, "k")),
        messages.after(BEN, room.room_id, 0, ALL),
        messages.delete(BEN, room.room_id, 1),
    ):
        with pytest.raises(NotFound):
            await attempt


async def test_in_a_public_room_all_may_talk_and_delete_what_is_theirs(
    messages: MessageService, rooms: RoomService
) -> None:
    room = await rooms.create(ANN, "Square")
    assert (await messages.post(CEM, draft(room.room_id, "k"))).seq == 1
    with pytest.raises(Forbidden):
        await messages.delete(BEN, room.room_id, 1)
    await messages.delete(CEM, room.room_id, 1)


async def test_every_bad_field_is_named(messages: MessageService, room: Room) -> None:
    with pytest.raises(Invalid) as refused:
        await messages.post(BEN, draft(room.room_id, "", "\0", " "))
    assert [each.field for each in refused.value.fields] == ["key", "text", "display_name"]


async def test_one_answer_has_no_more_text_than_is_good(
    messages: MessageService, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await messages.post(BEN, draft(room.room_id, "0", "🍵" * MAX_TEXT_CHARACTERS))
    for key in "123":
        await messages.post(BEN, draft(room.room_id, key, "🍵" * 2))
    for most_bytes, seen in ((16_000, [1]), (16_001, [1, 2]), (16_017, [1, 2, 3, 4])):
        monkeypatch.setattr(messages_module, "MOST_BYTES", most_bytes)
        assert numbers((await said(messages, room.room_id)).messages) == seen
    assert numbers((await messages.after(BEN, room.room_id, 1, ALL)).messages) == [2, 3, 4]


# Numbers, whatever goes wrong


async def test_what_cannot_be_reported_is_not_said_and_uses_up_no_number(
    database: Database, messages: MessageService, room: Room
) -> None:
    async with refusing_rows(database, "outbox"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await messages.post(BEN, draft(room.room_id, "k"))
    assert await said(messages, room.room_id) == Excerpt([], 0)
    assert (await messages.post(BEN, draft(room.room_id, "k"))).seq == 1


class Overtaken(PostgresMessageRepository):
    """Between look and write, `meanwhile` happens, the first so many times."""

    def __init__(self, database: Database, meanwhile: Callable[[], Awaitable[None]], times: int) -> None:
        super().__init__(database, Outbox(database, NAME))
        self._meanwhile = meanwhile
        self._times = times

    async def append(self, access: Access, draft: Draft) -> Message | None:
        if self._times:
            self._times -= 1
            await self._meanwhile()
        return await super().append(access, draft)


async def test_who_is_removed_while_posting_has_said_nothing(
    database: Database,
    rooms: RoomService,
    rooms_kept: PostgresRoomRepository,
    room: Room,
) -> None:
    async def remove() -> None:
        await rooms.remove_member(ANN, room.room_id, BEN.user_id)

    messages = MessageService(rooms_kept, Overtaken(database, remove, 1))
    with pytest.raises(NotFound):
        await messages.post(BEN, draft(room.room_id, "k"))
    assert (await said(messages, room.room_id)).head == 0


@pytest.mark.parametrize("times", [1, MOST_TRIES])
async def test_others_look_again_when_somebody_is_removed(
    database: Database,
    rooms: RoomService,
    rooms_kept: PostgresRoomRepository,
    room: Room,
    times: int,
) -> None:
    async def come_and_go() -> None:
        await rooms.add_member(ANN, room.room_id, CEM.user_id)
        await rooms.remove_member(CEM, room.room_id, CEM.user_id)

    messages = MessageService(rooms_kept, Overtaken(database, come_and_go, times))
    if times < MOST_TRIES:
        assert (await messages.post(BEN, draft(room.room_id, "k"))).seq == 1
        return
    with pytest.raises(Unavailable):
        await messages.post(BEN, draft(room.room_id, "k"))


@asynccontextmanager
async def refusing_texts(database: Database, text: str) -> AsyncIterator[None]:
    """The outbox takes no event that holds `text`, while the block runs."""
    has_it = f"position('{text}' IN convert_from(value, 'UTF8')) > 0"
    await execute(database, f"ALTER TABLE outbox ADD CONSTRAINT unwanted CHECK (NOT {has_it})")
    try:
        yield
    finally:
        await execute(database, "ALTER TABLE outbox DROP CONSTRAINT unwanted")


@pytest.mark.races
async def test_many_at_once_get_the_numbers_from_1_on(
    database: Database, both: list[MessageService], room: Room
) -> None:
    """Each says three things: under a key of its own, one that fails, and the same as many others."""

    async def talk(number: int) -> tuple[Message, Message]:
        messages = both[number % 2]
        own = await messages.post(BEN, draft(room.room_id, f"own {number}"))
        with pytest.raises(psycopg.errors.CheckViolation):
            await messages.post(BEN, draft(room.room_id, f"bad {number}", "unwanted"))
        return own, await messages.post(BEN, draft(room.room_id, f"same {number // 10}"))

    async with refusing_texts(database, "unwanted"):
        talked = await asyncio.gather(*map(talk, range(POSTERS)))
    excerpt = await said(both[0], room.room_id)
    assert excerpt.head == POSTERS + 2
    assert is_gapless(excerpt)
    assert len({own.seq for own, _ in talked}) == POSTERS
    assert [len({same.seq for _, same in half}) for half in (talked[:10], talked[10:])] == [1, 1]
    assert {each.seq for pair in talked for each in pair} == set(range(1, excerpt.head + 1))
    told = await every(database, TOLD)
    assert told == [(seq,) for seq in range(1, excerpt.head + 1)]  # in the order of the numbers, too


TOLD = """
    SELECT ((convert_from(value, 'UTF8')::json -> 'data' -> 'message') ->> 'seq')::int
    FROM outbox WHERE type = 'shop.chat.v1.MessagePosted' ORDER BY position"""


@pytest.mark.races
async def test_equal_keys_at_once_are_one_message(both: list[MessageService], room: Room) -> None:
    async def say(text: str, messages: MessageService) -> Message:
        return await messages.post(BEN, draft(room.room_id, "k", text))

    said_by = [say(text, each) for each in both for text in ("hello", "other") for _ in range(POSTERS // 4)]
    answers = await asyncio.gather(*said_by, return_exceptions=True)
    assert len({each.seq for each in answers if isinstance(each, Message)}) == 1
    refused = [each for each in answers if not isinstance(each, Message)]
    assert len(refused) == POSTERS / 2
    assert all(isinstance(each, Conflict) and each.code == "key-reused" for each in refused)
    assert is_gapless(await said(both[0], room.room_id))
    assert (await both[1].post(BEN, draft(room.room_id, "next"))).seq == 2


@pytest.mark.races
async def test_whoever_reads_meanwhile_sees_no_gap(both: list[MessageService], room: Room) -> None:
    async def read_on() -> None:
        seen = 0
        while seen < POSTERS:
            excerpt = await both[0].after(ANN, room.room_id, seen, ALL)
            assert numbers(excerpt.messages) == list(range(seen + 1, excerpt.head + 1))
            seen = excerpt.head

    async with asyncio.timeout(20.0):
        posts = (both[n % 2].post(BEN, draft(room.room_id, str(n))) for n in range(POSTERS))
        await asyncio.gather(read_on(), *posts)


# How much it costs


WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"  # no statistics, which a transaction sees once


async def test_of_all_connections_a_busy_room_has_one(
    database: Database, messages: MessageService, rooms: RoomService, room: Room
) -> None:
    elsewhere = await rooms.create(BEN, "Coffee")
    drafts = [draft(room.room_id, str(number)) for number in range(2 * POOL_SIZE)]

    async def wait() -> int:
        [[count]] = await every(database, WAITING)
        return int(count)

    async with asyncio.timeout(20.0), asyncio.TaskGroup() as tasks, database.transaction() as connection:
        await connection.execute("SELECT FROM rooms WHERE room_id = %s FOR UPDATE", [room.room_id])
        waiting = [tasks.create_task(messages.post(BEN, each)) for each in drafts]
        await eventually(wait)
        assert (await asyncio.create_task(messages.post(BEN, draft(elsewhere.room_id, "k")))).seq == 1
        assert await wait() == 1
        assert not any(each.done() for each in waiting)
    assert is_gapless(await said(messages, room.room_id))


async def test_a_message_takes_three_statements(
    messages: MessageService, room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    execute_really = psycopg.AsyncConnection.execute

    async def counting(self: Any, query: Any, *arguments: Any, **options: Any) -> Any:
        ran.append(str(query))
        return await execute_really(self, query, *arguments, **options)

    monkeypatch.setattr(psycopg.AsyncConnection, "execute", counting)
    await messages.post(BEN, draft(room.room_id, "k"))
    ours = [each for each in ran if any(table in each for table in ("rooms", "messages", "INTO outbox"))]
    assert len(ours) == 3


PAGES = [
    getattr(module, name)
    for module, names in {
        messages_module: ("_AFTER", "_BEFORE", "_UNDER_KEY", "_LOCK"),
        rooms_module: ("_ACCESS_TO_ALL", "_PAGE", "_PAGE_OF_ALL", "_FIRST_MEMBERS", "_NEXT_MEMBERS"),
    }.items()
    for name in names
]


async def test_lists_are_read_along_indexes(database: Database) -> None:
    """Tables of tests are small; so the planner is told that reading all of one is no choice."""
    values = {"room_id": UNKNOWN, "room_ids": [UNKNOWN], "user_id": UNKNOWN, "key": "k", "seq": 1}
    values |= {"after": 1, "before": 9, "head": 9, "limit": 9, "most_bytes": 9}
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        for query in PAGES:
            after = {} if "seq > " in query else {"after": UNKNOWN}
            plan = await (await connection.execute("EXPLAIN " + query, values | after)).fetchall()
            assert "Seq Scan" not in str(plan), (query, plan)
