"""What is told of rooms and messages, as messages of the contract."""

from datetime import UTC, datetime
from typing import get_args
from uuid import UUID

from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from shop.chat.v1 import chat_pb2 as pb
from shop.chat.v1 import events_pb2 as messages

from services.chat.domain.messages import Message, MessageDeleted, MessageEvent, MessagePosted
from services.chat.domain.rooms import MemberAdded, MemberRemoved, Room, RoomCreated, RoomEvent
from services.chat.events import chat_message, reports, room_message
from shared.events.outbox import Report

ROOM, ANN, AT = UUID(int=100), UUID(int=2), datetime(2026, 5, 1, 12, 0, 0, 5, tzinfo=UTC)
SAID = Message(ROOM, 7, ANN, "Ann", "hello", AT)
GONE = Message(ROOM, 7, ANN, "Ann", "", AT, deleted=True)


def test_a_message_is_told_whole_a_tombstone_without_its_text() -> None:
    told = pb.Message(
        room_id=str(ROOM),
        seq=7,
        user_id=str(ANN),
        display_name="Ann",
        text="hello",
        at=Timestamp(seconds=int(AT.timestamp()), nanos=5_000),
    )
    assert chat_message(SAID) == told
    told.text, told.deleted = "", True
    assert chat_message(GONE) == told


def test_everything_is_about_the_room() -> None:
    room = Room(ROOM, "Tea", True, ANN, last_seq=7)
    told = pb.Room(room_id=str(ROOM), name="Tea", private=True, owner_id=str(ANN))
    assert room_message(room) == told
    who = {"room_id": str(ROOM), "user_id": str(ANN)}
    expected: dict[RoomEvent | MessageEvent, ProtobufMessage] = {
        RoomCreated(room): messages.RoomCreated(room=told),
        MemberAdded(ROOM, ANN): messages.MemberAdded(**who),
        MemberRemoved(ROOM, ANN): messages.MemberRemoved(**who),
        MessagePosted(SAID): messages.MessagePosted(message=chat_message(SAID)),
        MessageDeleted(GONE, ANN): messages.MessageDeleted(message=chat_message(GONE), deleted_by=str(ANN)),
    }
    assert [reports(event) for event in expected] == [[Report(str(ROOM), each)] for each in expected.values()]
    assert {type(event) for event in expected} == {*get_args(RoomEvent), *get_args(MessageEvent)}


def test_the_contract_knows_every_event() -> None:
    ours = {each.__name__ for each in (*get_args(RoomEvent), *get_args(MessageEvent))}
    assert ours == {*messages.DESCRIPTOR.message_types_by_name}
