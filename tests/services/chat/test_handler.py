"""Chat's HTTP and gRPC faces, over requests and messages without sockets."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest
from shop.chat.v1.chat_pb2 import (
    GetRoomHeadsRequest,
    ListMessagesRequest,
    ListMessagesResponse,
    Message,
    PostMessageRequest,
)

from services.chat.domain.messages import MAX_TEXT_CHARACTERS
from services.chat.domain.rooms import MAX_NAME_CHARACTERS
from services.chat.handler import MAX_SEQ, MOST_MESSAGES, MOST_ROOMS, ChatCalls, chat_routes
from services.chat.repository.messages import MOST_BYTES
from services.chat.service.messages import MessageService
from services.chat.service.rooms import RoomService
from shared import context
from shared.context import ANONYMOUS, Principal
from shared.errors import Conflict, Invalid, NotFound
from tests.services.asking import (
    ADMIN,
    CUSTOMER,
    OTHER_CUSTOMER,
    Asking,
    bad_fields,
    header,
    problem_code,
    read,
)

UNKNOWN = "7bf51d0d-5ad3-4291-bac8-14694dff34d2"
ROOMS = "/chat/rooms"
MOST_MESSAGE_BYTES = 4 * 1024 * 1024  # to a gRPC client that has not been told otherwise


class Chat(Asking):
    """A user's client, with the WebSocket gateway's calls beside it."""

    def __init__(self, rooms: RoomService, messages: MessageService) -> None:
        super().__init__(chat_routes(rooms, messages))
        self._calls = ChatCalls(rooms, messages)

    async def create(self, by: Principal = CUSTOMER, **document: object) -> str:
        room = read(await self.ask("POST", ROOMS, {"name": "Tea"} | document, by=by))
        return f"{ROOMS}/{room['room_id']}"

    async def get(self, target: str, by: Principal = CUSTOMER) -> Any:
        answer = await self.ask("GET", target, by=by)
        assert (answer.status, header(answer, "cache-control")) == (200, "no-store")
        return read(answer)

    async def status(self, method: str, target: str, by: Principal = CUSTOMER) -> int:
        return (await self.ask(method, target, by=by)).status

    async def post(self, room: str, key: str, by: Principal = CUSTOMER, text: str = "hello") -> Message:
        request = PostMessageRequest(room_id=id_of(room), key=key, text=text, display_name="Ben")
        context.principal.set(by)
        return (await self._calls.PostMessage(request, None)).message

    async def list(self, room: str, by: Principal, after: int = 0, limit: int = 9) -> ListMessagesResponse:
        request = ListMessagesRequest(room_id=id_of(room), after=after, limit=limit)
        context.principal.set(by)
        return await self._calls.ListMessages(request, None)

    async def heads(self, by: Principal, *room_ids: str) -> dict[str, int]:
        context.principal.set(by)
        answer = await self._calls.GetRoomHeads(GetRoomHeadsRequest(room_ids=room_ids), None)
        return {each.room_id: each.seq for each in answer.heads}


def id_of(room: str) -> str:
    return room.rpartition("/")[2]


@pytest.fixture
async def chat(rooms: RoomService, messages: MessageService) -> AsyncIterator[Chat]:
    token = context.principal.set(ANONYMOUS)
    yield Chat(rooms, messages)
    context.principal.reset(token)


# Rooms


async def test_a_created_room_is_where_its_location_says(chat: Chat) -> None:
    created = await chat.ask("POST", ROOMS, {"name": " Tea "}, by=CUSTOMER)
    room = read(created)
    assert (created.status, header(created, "cache-control")) == (201, "no-store")
    assert room == {
        "room_id": room["room_id"],
        "name": "Tea",
        "private": False,
        "owner_id": CUSTOMER.user_id,
    }
    assert UUID(room["room_id"]).version == 7
    location = header(created, "location") or ""
    assert location == f"{ROOMS}/{room['room_id']}"
    assert await chat.get(location, OTHER_CUSTOMER) == room
    assert await chat.get(ROOMS, OTHER_CUSTOMER) == {"items": [room], "next": None}
    assert await chat.get(f"{location}/members") == {"items": [{"user_id": CUSTOMER.user_id}], "next": None}


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        ({}, ["name"]),
        ({"name": " "}, ["name"]),
        ({"name": "n" * (MAX_NAME_CHARACTERS + 1), "private": 1}, ["name", "private"]),
        ({"name": "a\nb", "colour": "red"}, ["name", "colour"]),
    ],
)
async def test_every_bad_field_of_a_room_is_named(chat: Chat, document: object, fields: list[str]) -> None:
    assert bad_fields(await chat.ask("POST", ROOMS, document, by=CUSTOMER)) == fields


async def test_members(chat: Chat) -> None:
    room = await chat.create(private=True)
    other = f"{room}/members/{OTHER_CUSTOMER.user_id}"
    assert await chat.status("GET", room, OTHER_CUSTOMER) == 404
    assert await chat.status("PUT", other, OTHER_CUSTOMER) == 404
    assert [await chat.status("PUT", other) for _ in range(2)] == [204, 204]
    assert await chat.status("GET", room, OTHER_CUSTOMER) == 200
    assert await chat.status("PUT", f"{room}/members/{UNKNOWN}", OTHER_CUSTOMER) == 403
    assert await chat.status("DELETE", f"{room}/members/{CUSTOMER.user_id}", OTHER_CUSTOMER) == 403
    refused = await chat.ask("DELETE", f"{room}/members/{CUSTOMER.user_id}", by=ADMIN)
    assert (refused.status, problem_code(refused)) == (409, "owner-stays")
    assert await chat.status("DELETE", other, OTHER_CUSTOMER) == 204
    assert await chat.status("DELETE", other, OTHER_CUSTOMER) == 404
    assert await chat.status("DELETE", other) == 204
    assert await chat.status("PUT", f"{room}/members/7") == 404


@pytest.mark.parametrize("room_id", [UNKNOWN, "7", "%00"])
async def test_unknown_rooms_are_not_found(chat: Chat, room_id: str) -> None:
    room = f"{ROOMS}/{room_id}"
    targets = [("GET", room), ("GET", f"{room}/members"), ("GET", f"{room}/messages")]
    targets += [(method, f"{room}/members/{UNKNOWN}") for method in ("PUT", "DELETE")]
    for method, target in (*targets, ("DELETE", f"{room}/messages/1")):
        assert await chat.status(method, target, ADMIN) == 404


async def test_nobody_talks_without_a_name(chat: Chat) -> None:
    assert await chat.status("GET", ROOMS, ANONYMOUS) == 401
    assert await chat.status("POST", ROOMS, ANONYMOUS) == 401
    room = await chat.create()
    for attempt in (chat.post(room, "k", ANONYMOUS), chat.list(room, ANONYMOUS), chat.heads(ANONYMOUS)):
        with pytest.raises(NotFound):
            await attempt


# Messages


async def test_history_in_both_directions(chat: Chat) -> None:
    room = await chat.create()
    for key in "12345":
        await chat.post(room, key, text=f"hello {key}")
    history = f"{room}/messages"

    async def page(query: str) -> tuple[list[int], str | None]:
        document = await chat.get(f"{history}?{query}", OTHER_CUSTOMER)
        return [each["seq"] for each in document["items"]], document["next"]

    assert [await page(f"limit=2&after={after}") for after in (0, 2, 4, 5, MAX_SEQ)] == [
        ([1, 2], "2"),
        ([3, 4], "4"),
        ([5], None),
        ([], None),
        ([], None),
    ]
    assert [await page(f"limit=2&before={before}") for before in (MAX_SEQ, 6, 4, 2, 1)] == [
        ([4, 5], "4"),
        ([4, 5], "4"),
        ([2, 3], "2"),
        ([1], None),
        ([], None),
    ]
    document = await chat.get(history)
    assert (len(document["items"]), document["next"]) == (5, None)
    first = document["items"][0]
    assert first["at"].endswith("Z")
    assert first == {
        "room_id": id_of(room),
        "seq": 1,
        "user_id": CUSTOMER.user_id,
        "display_name": "Ben",
        "text": "hello 1",
        "at": first["at"],
        "deleted": False,
    }


@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("limit=0&after=-1", ["limit", "after"]),
        ("limit=101&before=0", ["limit", "before"]),
        (f"after={MAX_SEQ + 1}", ["after"]),
        ("before=x", ["before"]),
        ("after=0&before=5", ["before"]),
    ],
)
async def test_bad_parameters_are_named(chat: Chat, query: str, fields: list[str]) -> None:
    assert bad_fields(await chat.ask("GET", f"{ROOMS}/{UNKNOWN}/messages?{query}", by=CUSTOMER)) == fields


async def test_deleting(chat: Chat) -> None:
    room = await chat.create()
    await chat.post(room, "k", OTHER_CUSTOMER)
    await chat.post(room, "k", CUSTOMER)
    messages = f"{room}/messages"
    assert await chat.status("DELETE", f"{messages}/2", OTHER_CUSTOMER) == 403
    assert [await chat.status("DELETE", f"{messages}/1", OTHER_CUSTOMER) for _ in range(2)] == [204, 204]
    assert await chat.status("DELETE", f"{messages}/1", ADMIN) == 204
    for seq in ("3", "0", "-1", "1.0", "x", "9" * 400, "%D9%A1"):
        assert await chat.status("DELETE", f"{messages}/{seq}") == 404
    [tombstone, other] = (await chat.get(messages))["items"]
    assert (tombstone["text"], tombstone["deleted"], other["deleted"]) == ("", True, False)


# Calls of the WebSocket gateway


async def test_what_is_posted_comes_back_with_its_number(chat: Chat) -> None:
    room = await chat.create(private=True)
    posted = [await chat.post(room, key) for key in "ab"]
    assert await chat.post(room, "a") == posted[0]
    with pytest.raises(Conflict):
        await chat.post(room, "a", text="other")
    assert [each.seq for each in posted] == [1, 2]
    listed = await chat.list(room, ADMIN, after=1)
    assert (list(listed.messages), listed.head) == ([posted[1]], 2)
    assert await chat.heads(CUSTOMER, id_of(room), UNKNOWN) == {id_of(room): 2}
    assert await chat.heads(OTHER_CUSTOMER, id_of(room), UNKNOWN) == {}
    for attempt in (chat.post(room, "c", OTHER_CUSTOMER), chat.list(room, OTHER_CUSTOMER)):
        with pytest.raises(NotFound):
            await attempt


async def test_what_cannot_be_asked_is_named(chat: Chat) -> None:
    for attempt, fields in (
        (chat.post("7", "k"), ["room_id"]),
        (chat.post(UNKNOWN, "", text=""), ["key", "text"]),
        (chat.list("7", CUSTOMER), ["room_id"]),
        (chat.list(UNKNOWN, CUSTOMER, after=-1, limit=0), ["after", "limit"]),
        (chat.list(UNKNOWN, CUSTOMER, limit=MOST_MESSAGES + 1), ["limit"]),
        (chat.heads(CUSTOMER, UNKNOWN, "7"), ["room_ids[1]"]),
        (chat.heads(CUSTOMER, *[UNKNOWN] * (MOST_ROOMS + 1)), ["room_ids"]),
    ):
        with pytest.raises(Invalid) as refused:
            await attempt
        assert [each.field for each in refused.value.fields] == fields
    assert await chat.heads(CUSTOMER, *[UNKNOWN] * MOST_ROOMS) == {}


def test_the_largest_answer_fits_into_a_message() -> None:
    user, name = str(UUID(int=1)), "🍵" * MAX_NAME_CHARACTERS
    longest = Message(room_id=user, seq=MAX_SEQ, user_id=user, display_name=name, deleted=True)
    longest.at.GetCurrentTime()
    names = ListMessagesResponse(messages=[longest] * MOST_MESSAGES, head=MAX_SEQ).ByteSize()
    assert names + MOST_BYTES + 4 * MAX_TEXT_CHARACTERS < MOST_MESSAGE_BYTES
