"""The whole service: real sockets, a real database, a real bus, signed requests."""

from pathlib import Path

from shop.chat.v1.chat_pb2 import ListMessagesRequest, PostMessageRequest
from shop.chat.v1.chat_pb2_grpc import ChatServiceStub

from services.chat.main import NAME, main
from shared import context
from shared.config import Secret
from shared.context import Principal
from shared.events.envelope import decode
from shared.events.transports import open_bus
from tests.services.running import RunningService, running
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

BEN = Principal("018cc251-f400-7000-8000-0000000000c1", "session", "token", 2_000_000_000)
ANN = Principal("018cc251-f400-7000-8000-0000000000c2", "session", "token", 2_000_000_000)


async def kinds_on_the_bus(service: RunningService, room_id: str) -> list[str]:
    async with open_bus(service.environment) as bus:
        events = [decode(message.value) async for message in bus.history(NAME)]
    assert {each.subject for each in events} <= {room_id}
    return [each.type.rpartition(".")[2] for each in events]


async def test_two_talk_and_all_of_it_reaches_the_bus_in_order(
    database_url: Secret, tmp_path: Path, valkey: Valkey
) -> None:
    async with running(NAME, main, database_url, tmp_path, EVENTS_URL=valkey.url.value) as service:
        await service.until_ready()
        created, room = await service.ask("POST", "/chat/rooms", {"name": "Tea", "private": True}, ANN)
        assert created.status == 201
        location = f"/chat/rooms/{room['room_id']}"
        member = f"{location}/members/{BEN.user_id}"
        assert (await service.ask("PUT", member, None, ANN))[0].status == 204

        token = context.principal.set(BEN)  # for whom the WebSocket gateway then speaks
        async with service.channel("ws_gateway") as channel:
            stub = ChatServiceStub(channel.raw)
            for key in "112":  # the first answer might have been lost
                request = PostMessageRequest(
                    room_id=room["room_id"], key=key, text=f"hello {key}", display_name="Ben"
                )
                await channel.call(stub.PostMessage, request, seconds=10.0)
            everything = ListMessagesRequest(room_id=room["room_id"], after=0, limit=10)
            listed = await channel.call(stub.ListMessages, everything, seconds=10.0)
        context.principal.reset(token)
        assert [(each.seq, each.text) for each in listed.messages] == [(1, "hello 1"), (2, "hello 2")]

        assert (await service.ask("DELETE", f"{location}/messages/1", None, BEN))[0].status == 204
        _, history = await service.ask("GET", f"{location}/messages", None, BEN)
        assert [(each["seq"], each["text"]) for each in history["items"]] == [(1, ""), (2, "hello 2")]
        assert (await service.ask("DELETE", member, None, BEN))[0].status == 204
        assert (await service.ask("GET", location, None, BEN))[0].status == 404

        kinds = ["RoomCreated", "MemberAdded", "MessagePosted", "MessagePosted"]
        expected = [*kinds, "MessageDeleted", "MemberRemoved"]

        async def are_all_there() -> bool:
            return await kinds_on_the_bus(service, room["room_id"]) == expected

        await eventually(are_all_there, seconds=30.0)
