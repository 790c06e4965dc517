"""Rooms and messages over HTTP and gRPC: decode, ask the services, encode."""

from typing import Annotated, Any
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType
from shop.chat.v1.chat_pb2 import (
    DESCRIPTOR,
    GetRoomHeadsRequest,
    GetRoomHeadsResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    PostMessageRequest,
    PostMessageResponse,
    RoomHead,
)
from shop.chat.v1.chat_pb2_grpc import ChatServiceServicer, add_ChatServiceServicer_to_server

from services.chat.domain.messages import Draft, Excerpt, Message
from services.chat.domain.rooms import ROOM_RULES, Asker, Room
from services.chat.events import chat_message
from services.chat.service.messages import MessageService
from services.chat.service.rooms import RoomService
from shared import context
from shared.context import Principal
from shared.errors import FieldError, NotFound
from shared.http.decoding import path_id, read_json, read_query
from shared.http.messages import NO_STORE, Request, Response, json_response
from shared.http.paging import PageQuery, cursor_fault, page_document
from shared.http.routing import Route
from shared.middleware.authorize import user_id_of, users_only
from shared.rpc.decoding import read_id, read_ids
from shared.rpc.server import RpcService, rpc_service
from shared.rules import refuse

MOST_MESSAGES, MOST_ROOMS = 1_000, 1_000  # in one call; what the contract says
MAX_SEQ = 2**63 - 1  # what a bigint holds
ADMIN = "admin"


class NewRoomBody(Struct, forbid_unknown_fields=True):
    """What `POST /chat/rooms` takes."""

    name: str
    private: bool = False


class HistoryQuery(Struct):
    """What `GET /chat/rooms/{room_id}/messages` takes: forwards from `after`, or backwards from `before`."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Annotated[int, Meta(ge=0, le=MAX_SEQ)] | UnsetType = UNSET
    before: Annotated[int, Meta(ge=1, le=MAX_SEQ)] | UnsetType = UNSET


def chat_routes(rooms: RoomService, messages: MessageService) -> list[Route]:
    """The rows of chat in the service's table."""
    for_users = users_only()
    room, message = RoomHandler(rooms), MessageHandler(messages)
    table = [
        ("POST", "/chat/rooms", room.create),
        ("GET", "/chat/rooms", room.browse),
        ("GET", "/chat/rooms/{room_id}", room.get),
        ("GET", "/chat/rooms/{room_id}/members", room.members),
        ("PUT", "/chat/rooms/{room_id}/members/{user_id}", room.add_member),
        ("DELETE", "/chat/rooms/{room_id}/members/{user_id}", room.remove_member),
        ("GET", "/chat/rooms/{room_id}/messages", message.browse),
        ("DELETE", "/chat/rooms/{room_id}/messages/{seq}", message.delete),
    ]
    return [Route(method, path, for_users(handler)) for method, path, handler in table]


def chat_calls(rooms: RoomService, messages: MessageService) -> RpcService:
    """The contract of chat, answered."""
    return rpc_service(DESCRIPTOR, add_ChatServiceServicer_to_server, ChatCalls(rooms, messages))


class RoomHandler:
    """Rooms and their members, one method a row."""

    def __init__(self, rooms: RoomService) -> None:
        self._rooms = rooms

    async def create(self, request: Request) -> Response:
        """A new room, the caller's."""
        body = await read_json(request, NewRoomBody, ROOM_RULES)
        room = await self._rooms.create(_asker(request.principal), body.name, private=body.private)
        location = ("Location", f"/chat/rooms/{room.room_id}")
        return json_response(201, _room_view(room), [location, NO_STORE])

    async def browse(self, request: Request) -> Response:
        """A page of the rooms that the caller may know of, newest first."""
        query = read_query(request, PageQuery, {"cursor": cursor_fault})
        page = await self._rooms.browse(_asker(request.principal), query.after, query.limit)
        return json_response(200, page_document(map(_room_view, page.items), page.next), [NO_STORE])

    async def get(self, request: Request) -> Response:
        """One room."""
        room = await self._rooms.get(_asker(request.principal), _room_id(request))
        return json_response(200, _room_view(room), [NO_STORE])

    async def members(self, request: Request) -> Response:
        """A page of who belongs to the room."""
        query = read_query(request, PageQuery, {"cursor": cursor_fault})
        asker, room_id = _asker(request.principal), _room_id(request)
        page = await self._rooms.members(asker, room_id, query.after, query.limit)
        items = ({"user_id": user_id} for user_id in page.items)
        return json_response(200, page_document(items, page.next), [NO_STORE])

    async def add_member(self, request: Request) -> Response:
        """A user belongs to the room from now on."""
        await self._rooms.add_member(_asker(request.principal), _room_id(request), _member_id(request))
        return Response(204)

    async def remove_member(self, request: Request) -> Response:
        """A user no longer belongs to the room."""
        await self._rooms.remove_member(_asker(request.principal), _room_id(request), _member_id(request))
        return Response(204)


class MessageHandler:
    """What was said, one method a row. To say something takes a WebSocket."""

    def __init__(self, messages: MessageService) -> None:
        self._messages = messages

    async def browse(self, request: Request) -> Response:
        """A page of what was said, in its order."""
        query = read_query(request, HistoryQuery)
        asker, room_id = _asker(request.principal), _room_id(request)
        if query.before is UNSET:
            after = 0 if query.after is UNSET else query.after
            excerpt = await self._messages.after(asker, room_id, after, query.limit)
            return _history(excerpt, _newer(excerpt))
        if query.after is not UNSET:
            refuse([FieldError("before", "Cannot be given together with after")])
        excerpt = await self._messages.before(asker, room_id, query.before, query.limit)
        return _history(excerpt, _older(excerpt))

    async def delete(self, request: Request) -> Response:
        """A message is taken back."""
        await self._messages.delete(_asker(request.principal), _room_id(request), _seq(request))
        return Response(204)


class ChatCalls(ChatServiceServicer):
    """What the WebSocket gateway asks in the name of its users, one method a call."""

    def __init__(self, rooms: RoomService, messages: MessageService) -> None:
        self._rooms = rooms
        self._messages = messages

    async def PostMessage(self, request: PostMessageRequest, _: object) -> PostMessageResponse:  # noqa: N802
        """Something is said, once for each key."""
        room_id = read_id("room_id", request.room_id)
        draft = Draft(room_id, request.key, request.text, request.display_name)
        message = await self._messages.post(_caller(), draft)
        return PostMessageResponse(message=chat_message(message))

    async def ListMessages(self, request: ListMessagesRequest, _: object) -> ListMessagesResponse:  # noqa: N802
        """What was said after a number that the asker has seen."""
        _refuse_bad_range(request)
        room_id = read_id("room_id", request.room_id)
        excerpt = await self._messages.after(_caller(), room_id, request.after, request.limit)
        return ListMessagesResponse(messages=map(chat_message, excerpt.messages), head=excerpt.head)

    async def GetRoomHeads(self, request: GetRoomHeadsRequest, _: object) -> GetRoomHeadsResponse:  # noqa: N802
        """The newest number of each room that the asker may know of."""
        room_ids = read_ids("room_ids", request.room_ids, MOST_ROOMS)
        rooms = await self._rooms.get_all(_caller(), room_ids)
        heads = (RoomHead(room_id=str(room.room_id), seq=room.last_seq) for room in rooms)
        return GetRoomHeadsResponse(heads=heads)


def _asker(principal: Principal) -> Asker:
    return Asker(user_id_of(principal), ADMIN in principal.roles)


def _caller() -> Asker:
    """For whom another service asks. UNAUTHENTICATED would say that the calling service is not known."""
    principal = context.principal.get()
    if principal.is_anonymous:
        raise NotFound("There is no such room.")
    return _asker(principal)


def _room_id(request: Request) -> UUID:
    return path_id(request, "room_id", "There is no such room.")


def _member_id(request: Request) -> UUID:
    return path_id(request, "user_id", "There is no such user.")


def _seq(request: Request) -> int:
    """Raises NotFound for what cannot be a number."""
    text = request.parameters["seq"]
    seq = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MAX_SEQ)) else 0
    if not 1 <= seq <= MAX_SEQ:
        raise NotFound("There is no such message.")
    return seq


def _refuse_bad_range(request: ListMessagesRequest) -> None:
    """Raises Invalid."""
    faults = []
    if request.after < 0:
        faults.append(FieldError("after", f"Must not be below 0, as {request.after} is"))
    if not 1 <= request.limit <= MOST_MESSAGES:
        faults.append(FieldError("limit", f"Must be from 1 to {MOST_MESSAGES}, not {request.limit}"))
    refuse(faults)


def _newer(excerpt: Excerpt) -> int | None:
    """After which number the next page goes on; since there are no gaps, what is missing is known."""
    last = excerpt.messages[-1].seq if excerpt.messages else excerpt.head
    return last if last < excerpt.head else None


def _older(excerpt: Excerpt) -> int | None:
    """Before which number the next page goes on."""
    first = excerpt.messages[0].seq if excerpt.messages else 1
    return first if first > 1 else None


def _history(excerpt: Excerpt, following: int | None) -> Response:
    document = {
        "items": [_message_view(message) for message in excerpt.messages],
        "next": None if following is None else str(following),
    }
    return json_response(200, document, [NO_STORE])


def _room_view(room: Room) -> dict[str, Any]:
    """A room as clients see it."""
    return {
        "room_id": room.room_id,
        "name": room.name,
        "private": room.private,
        "owner_id": room.owner_id,
    }


def _message_view(message: Message) -> dict[str, Any]:
    """A message as clients see it."""
    return {
        "room_id": message.room_id,
        "seq": message.seq,
        "user_id": message.user_id,
        "display_name": message.display_name,
        "text": message.text,
        "at": message.at,
        "deleted": message.deleted,
    }
