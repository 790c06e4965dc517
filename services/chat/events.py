"""What chat reports to other services: domain events → messages of the contracts.

All of them are about the room, so they come in the order in which they happened there.
"""

from google.protobuf.message import Message as ProtobufMessage
from shop.chat.v1 import events_pb2 as messages
from shop.chat.v1.chat_pb2 import Message as MessageMessage
from shop.chat.v1.chat_pb2 import Room as RoomMessage

from services.chat.domain.messages import Message, MessageDeleted, MessageEvent, MessagePosted
from services.chat.domain.rooms import MemberAdded, MemberRemoved, Room, RoomCreated, RoomEvent
from shared.events.outbox import Report
from shared.rpc.values import timestamp


def reports(event: RoomEvent | MessageEvent) -> list[Report]:
    """One, about the room."""
    room_id, message = _told(event)
    return [Report(room_id, message)]


def room_message(room: Room) -> RoomMessage:
    """A room as other services see it."""
    return RoomMessage(
        room_id=str(room.room_id), name=room.name, private=room.private, owner_id=str(room.owner_id)
    )


def chat_message(message: Message) -> MessageMessage:
    """What was said, as other services see it."""
    return MessageMessage(
        room_id=str(message.room_id),
        seq=message.seq,
        user_id=str(message.user_id),
        display_name=message.display_name,
        text=message.text,
        at=timestamp(message.at),
        deleted=message.deleted,
    )


def _told(event: RoomEvent | MessageEvent) -> tuple[str, ProtobufMessage]:
    """The room, and what is told of it."""
    match event:
        case RoomCreated(room):
            return str(room.room_id), messages.RoomCreated(room=room_message(room))
        case MemberAdded(room_id, user_id):
            return str(room_id), messages.MemberAdded(room_id=str(room_id), user_id=str(user_id))
        case MemberRemoved(room_id, user_id):
            return str(room_id), messages.MemberRemoved(room_id=str(room_id), user_id=str(user_id))
        case MessagePosted(message):
            return str(message.room_id), messages.MessagePosted(message=chat_message(message))
        case MessageDeleted(message, deleted_by):
            told = messages.MessageDeleted(message=chat_message(message), deleted_by=str(deleted_by))
            return str(message.room_id), told
