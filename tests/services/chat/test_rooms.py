"""Rooms and who belongs to them, on a real database: what is kept, and what is told of it."""

import asyncio
from uuid import UUID

import psycopg
import pytest
from google.protobuf.message import Message as ProtobufMessage
from shop.chat.v1 import events_pb2 as messages

from services.chat.domain.rooms import Asker
from services.chat.events import room_message
from services.chat.service.rooms import RoomService
from shared.db.database import Database
from shared.db.statements import execute
from shared.errors import Conflict, Forbidden, Invalid, NotFound
from shared.events.envelope import unseal
from tests.services.chat.talking import ADMIN, ANN, BEN, CEM, UNKNOWN
from tests.services.databases import refusing_rows
from tests.services.events import in_the_outbox

JOINERS = 20


async def told(database: Database) -> list[ProtobufMessage]:
    """What has been reported, each about its room."""
    envelopes = await in_the_outbox(database)
    assert {each.source for each in envelopes} <= {"/chat"}
    return [unseal(each, getattr(messages, each.type.rpartition(".")[2])) for each in envelopes]


async def test_a_rooms_life(database: Database, rooms: RoomService) -> None:
    room = await rooms.create(ANN, "  Tea ", private=True)
    room_id, ben = str(room.room_id), str(BEN.user_id)
    assert (room.name, room.owner_id, await rooms.get(ANN, room.room_id)) == ("Tea", ANN.user_id, room)
    with pytest.raises(NotFound):
        await rooms.get(BEN, room.room_id)
    for _ in range(2):
        await rooms.add_member(ANN, room.room_id, BEN.user_id)
    assert (await rooms.members(BEN, room.room_id)).items == [ANN.user_id, BEN.user_id]
    for by in (BEN, ADMIN):  # and again, for it was done already
        await rooms.remove_member(by, room.room_id, BEN.user_id)
    with pytest.raises(NotFound):
        await rooms.get(BEN, room.room_id)
    assert (await rooms.members(ADMIN, room.room_id)).items == [ANN.user_id]
    assert await told(database) == [
        messages.RoomCreated(room=room_message(room)),
        messages.MemberAdded(room_id=room_id, user_id=ben),
        messages.MemberRemoved(room_id=room_id, user_id=ben),
    ]
    assert {each.subject for each in await in_the_outbox(database)} == {room_id}


async def test_who_may_not_changes_nothing(database: Database, rooms: RoomService) -> None:
    public = (await rooms.create(ANN, "Square")).room_id
    private = (await rooms.create(ANN, "Tea", private=True)).room_id
    for by, room_id, user_id, refusal in (
        (BEN, public, BEN.user_id, Forbidden),
        (BEN, private, BEN.user_id, NotFound),
        (ADMIN, UNKNOWN, BEN.user_id, NotFound),
    ):
        with pytest.raises(refusal):
            await rooms.add_member(by, room_id, user_id)
    for by, room_id, refused in ((BEN, public, Forbidden), (BEN, private, NotFound), (ANN, public, Conflict)):
        with pytest.raises(refused):
            await rooms.remove_member(by, room_id, ANN.user_id)
    with pytest.raises(NotFound):
        await rooms.members(BEN, private)
    with pytest.raises(Invalid):
        await rooms.create(BEN, " ")
    assert len(await told(database)) == 2


async def pages(rooms: RoomService, asker: Asker) -> list[UUID]:
    """All rooms of the list, two a page."""
    found, after = list[UUID](), None
    while True:
        page = await rooms.browse(asker, after, 2)
        found += [room.room_id for room in page.items]
        if (after := page.next) is None:
            return found


async def test_the_list_has_what_the_asker_may_know_of(rooms: RoomService) -> None:
    by_ann = [(await rooms.create(ANN, str(number), private=number % 2 == 0)).room_id for number in range(6)]
    await rooms.add_member(ANN, by_ann[2], BEN.user_id)
    await rooms.add_member(ANN, by_ann[3], BEN.user_id)
    newest_first = by_ann[::-1]
    assert await pages(rooms, ANN) == await pages(rooms, ADMIN) == newest_first
    assert await pages(rooms, BEN) == [each for each in newest_first if each not in (by_ann[0], by_ann[4])]
    assert await pages(rooms, CEM) == newest_first[::2]
    for asker, seen in ((ANN, 6), (BEN, 4), (CEM, 3)):
        assert len(await rooms.get_all(asker, [*by_ann, UNKNOWN])) == seen


async def test_members_in_pages(rooms: RoomService) -> None:
    room_id = (await rooms.create(ANN, "Tea")).room_id
    nobody = UUID(int=0)  # an identifier like any other
    for user_id in (CEM.user_id, nobody, BEN.user_id):
        await rooms.add_member(ANN, room_id, user_id)
    first = await rooms.members(CEM, room_id, None, 3)
    assert first.items == [nobody, ANN.user_id, BEN.user_id]
    rest = await rooms.members(CEM, room_id, first.next, 3)
    assert (rest.items, rest.next) == ([CEM.user_id], None)


async def test_what_cannot_be_told_does_not_happen(database: Database, rooms: RoomService) -> None:
    room_id = (await rooms.create(ANN, "Tea")).room_id
    await rooms.add_member(ANN, room_id, BEN.user_id)
    async with refusing_rows(database, "outbox"):
        for attempt in (
            rooms.create(ANN, "Coffee"),
            rooms.add_member(ANN, room_id, CEM.user_id),
            rooms.remove_member(ANN, room_id, BEN.user_id),
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                await attempt
    assert len((await rooms.browse(ANN)).items) == 1
    assert (await rooms.members(ANN, room_id)).items == [ANN.user_id, BEN.user_id]


async def test_an_owner_who_is_no_member_cannot_be(database: Database, rooms: RoomService) -> None:
    await rooms.create(ANN, "Tea")
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        await execute(database, "DELETE FROM members")


@pytest.mark.races
async def test_who_comes_and_goes_at_once_is_told_in_turn(database: Database, rooms: RoomService) -> None:
    room_id = (await rooms.create(ANN, "Tea")).room_id
    await asyncio.gather(
        *(rooms.add_member(ANN, room_id, BEN.user_id) for _ in range(JOINERS)),
        *(rooms.remove_member(ADMIN, room_id, BEN.user_id) for _ in range(JOINERS)),
    )
    kinds = [type(each).__name__ for each in await told(database)][1:]
    assert kinds == (["MemberAdded", "MemberRemoved"] * JOINERS)[: len(kinds)]
    members = (await rooms.members(ANN, room_id)).items
    assert (BEN.user_id in members) is (len(kinds) % 2 == 1)
