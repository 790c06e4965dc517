"""One open socket, over a real connection; chat is in memory."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from services.ws_gateway.domain.chat import Who
from services.ws_gateway.handler.visitors import REQUESTS_AT_MOST, Visitor
from services.ws_gateway.service.sessions import keys_of
from shared import context
from shared.http.chain import chain
from shared.http.messages import Request, Response
from shared.http.server import Server, serve
from shared.middleware.request_id import request_id
from shared.observability import metrics
from shared.websocket.connection import SocketLimits, WebSocket
from shared.websocket.handshake import accepting_fields, read_handshake
from shared.websocket.hub import Hub
from shared.websocket.pace import Rate
from tests.services.ws_gateway.fakes import COFFEE, SUBSCRIPTIONS, TEA, House, opened, who
from tests.services.ws_gateway.talker import Talker, knocking
from tests.shared.websocket.peer import BINARY, PING, PONG, frame
from tests.waiting import eventually

SPREAD_SECONDS = 7.0
LIMITS = SocketLimits(frames=Rate(50, 100), close_seconds=1.0)


class Place:
    """A server whose visitors need no ticket: everybody is who their path says."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.hub: Hub[Visitor] = Hub()
        self.server: Server

    async def open(self, request: Request) -> Response:
        handshake = read_handshake(request)
        socket = WebSocket(LIMITS, handshake.deflate)
        visitor = Visitor(who(request.path[1:]), 0, socket, self.hub, self.house.rooms, SPREAD_SECONDS)
        self.hub.add(visitor, keys_of(visitor.who))
        return Response(101, accepting_fields(handshake), upgrade=visitor)

    @asynccontextmanager
    async def talker(self, name: str = "ada", *fields: tuple[str, str]) -> AsyncIterator[Talker]:
        async with knocking(self.server.port, f"/{name}", *fields) as talker:
            assert talker.status == 101
            yield talker


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with opened() as house:
        place = Place(house)
        handler = chain(place.open, request_id())
        async with serve(handler, "127.0.0.1", 0, drain_seconds=3.0) as place.server:
            yield place


@pytest.fixture
async def ada(place: Place) -> AsyncIterator[Talker]:
    async with place.talker() as talker:
        yield talker


def closes(code: str) -> float:
    return float(metrics.WS_CLOSES.labels(code)._value.get())


# A conversation


async def test_two_talk(place: Place, ada: Talker) -> None:
    async with place.talker("bob") as bob:
        assert (await ada.ask("subscribe", TEA, id=1))["seq"] == 0
        assert (await bob.ask("subscribe", TEA, id="b"))["id"] == "b"
        assert (await ada.ask("post", TEA, id=2, key="k", text="hello"))["seq"] == 1
        heard = await bob.hear("message")
        assert (heard["user_id"], heard["display_name"], heard["text"]) == ("ada", "Ada", "hello")
        assert await ada.ask("unsubscribe", TEA, id=3) == {"id": 3, "type": "unsubscribed", "room": TEA}
        await ada.say_goodbye()
        await eventually(lambda: place.house.rooms.count() == 1)
        assert [visitor.who.user_id for visitor in place.hub] == ["bob"]


async def test_requests_are_answered_in_their_order_however_long_the_first_takes(
    place: Place, ada: Talker
) -> None:
    async with place.house.chat.answering_late("messages"):
        ada.say(type="subscribe", room=TEA, id=0, after=0)
        ada.say(type="post", room=TEA, id=1, key="k", text="one")
        ada.say(type="unsubscribe", room=TEA, id=2)
        ada.say(type="post", room=TEA, id=3, key="l", text="two")
        await eventually(lambda: place.house.chat.calls["messages"])
    answers = [await ada.hear("subscribed", "posted", "unsubscribed", "error") for _ in range(4)]
    assert [(each["id"], each["type"]) for each in answers] == [
        (0, "subscribed"),
        (1, "posted"),
        (2, "unsubscribed"),
        (3, "error"),
    ]
    assert answers[3]["code"] == "not_subscribed"


async def test_a_ping_is_answered_while_a_request_takes_its_time(place: Place, ada: Talker) -> None:
    async with place.house.chat.answering_late("heads"):
        ada.say(type="subscribe", room=TEA)
        ada.peer.send(frame(PING, b"there?"))
        got = await ada.peer.read()
        assert (got.opcode, got.payload) == (PONG, b"there?")


async def test_who_asks_for_too_much_at_once_is_told_to_wait(place: Place, ada: Talker) -> None:
    async with place.house.chat.answering_late("heads"):
        ada.say(type="subscribe", room=TEA, id="first")
        await eventually(lambda: place.house.chat.calls["heads"])
        for number in range(REQUESTS_AT_MOST + 1):
            ada.say(type="unsubscribe", room=COFFEE, id=number)
        busy = await ada.hear("error")
        assert (busy["id"], busy["code"]) == (REQUESTS_AT_MOST, "busy")
    assert (await ada.hear())["id"] == "first"
    answered = [(await ada.hear("unsubscribed"))["id"] for _ in range(REQUESTS_AT_MOST)]
    assert answered == list(range(REQUESTS_AT_MOST))
    assert (await ada.ask("unsubscribe", COFFEE, id="again"))["id"] == "again"


# Errors


async def test_each_failure_has_its_code_and_leaves_the_socket_open(place: Place, ada: Talker) -> None:
    chat = place.house.chat
    unknown = "018cc251-f400-7000-8000-0000000000ff"
    assert (await ada.ask("subscribe", unknown, id=1))["code"] == "not_found"
    assert (await ada.ask("post", TEA, id=2, key="k", text="x"))["code"] == "not_subscribed"
    await ada.ask("subscribe", TEA, id=3)
    bad = await ada.ask("post", TEA, id=4, key="k", text="")
    assert (bad["id"], bad["code"]) == (4, "invalid")
    assert "text: is empty" in bad["detail"]
    await ada.ask("post", TEA, id=5, key="k", text="one")
    assert (await ada.ask("post", TEA, id=6, key="k", text="other"))["code"] == "key_reused"
    chat.is_away = True
    away = await ada.ask("post", TEA, id=7, key="l", text="two")
    assert (away["id"], away["code"]) == (7, "unavailable")
    chat.is_away = False
    assert (await ada.ask("post", TEA, id=8, key="l", text="two"))["seq"] == 2


async def test_what_cannot_be_read_is_answered_and_leaves_the_socket_open(ada: Talker) -> None:
    ada.say_text("{")
    assert (await ada.hear())["code"] == "malformed"
    unknown = await ada.ask("sing", TEA, id="s")
    assert (unknown["id"], unknown["code"]) == ("s", "unknown_type")
    assert (await ada.ask("unsubscribe", "tea", id=1))["code"] == "not_found"
    assert (await ada.ask("unsubscribe", TEA, id=2))["type"] == "unsubscribed"


async def test_a_fault_of_ours_is_logged_and_told_without_details(
    place: Place, ada: Talker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(place.house.chat, "heads", broken)
    failed = await ada.ask("subscribe", TEA, id=1)
    assert (failed["id"], failed["code"]) == (1, "internal")
    assert "secret" not in str(failed)
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert (await ada.ask("unsubscribe", TEA, id=2))["id"] == 2


# Endings


async def test_a_binary_message_ends_it(ada: Talker) -> None:
    before = closes("1003")
    ada.peer.send(frame(BINARY, b"{}"))
    assert (await ada.hear_the_end())[0] == 1003
    await eventually(lambda: closes("1003") == before + 1)


async def test_too_many_rooms_are_an_error_and_then_the_end(place: Place, ada: Talker) -> None:
    rooms = [f"018cc251-f400-7000-8000-{number:012}" for number in range(SUBSCRIPTIONS + 1)]
    place.house.chat.rooms |= {room: [] for room in rooms}
    for room in rooms[:-1]:
        assert (await ada.ask("subscribe", room))["type"] == "subscribed"
    refused = await ada.ask("subscribe", rooms[-1], id=9)
    assert (refused["id"], refused["code"]) == (9, "too_many_subscriptions")
    assert (await ada.hear_the_end())[0] == 1008
    await eventually(lambda: place.house.rooms.count() == 0)


async def test_too_many_frames_in_a_second_end_it(ada: Talker) -> None:
    ada.peer.send(frame(PING) * (int(LIMITS.frames.burst) + 50))
    code, reason = await ada.hear_the_end()
    assert (code, "frames a second" in reason) == (1008, True)


async def test_who_leaves_while_a_request_is_answered_is_forgotten(place: Place, ada: Talker) -> None:
    async with place.house.chat.answering_late("heads"):
        ada.say(type="subscribe", room=TEA)
        ada.say(type="subscribe", room=COFFEE)
        await eventually(lambda: place.house.chat.calls["heads"])
        await ada.say_goodbye()
        await eventually(lambda: not len(place.hub))
        assert place.house.rooms.count() == 0
    await asyncio.sleep(0)
    assert place.house.rooms.count() == 0
    assert place.house.chat.calls["heads"] == 1


async def test_who_vanishes_is_forgotten(place: Place) -> None:
    before = closes("lost")
    async with place.talker() as ada:
        await ada.ask("subscribe", TEA)
    await eventually(lambda: not len(place.hub))
    assert place.house.rooms.count() == 0
    assert closes("lost") == before + 1


async def test_after_the_session_has_ended_nothing_more_is_said_in_its_name(
    place: Place, ada: Talker
) -> None:
    await ada.ask("subscribe", TEA)
    async with place.house.chat.answering_late("post"):
        for number in range(3):
            ada.say(type="post", room=TEA, key=str(number), text="x")
        await eventually(lambda: place.house.chat.calls["post"])
        for visitor in place.hub:
            visitor.close(4401, "the session has ended")
    assert await ada.hear_the_end() == (4401, "the session has ended")
    await eventually(lambda: not len(place.hub))
    assert place.house.chat.calls["post"] == 1


async def test_at_the_end_of_the_process_everybody_is_told_when_to_come_back(place: Place) -> None:
    before = closes("1001")
    async with AsyncExitStack() as stack:
        talkers = [await stack.enter_async_context(place.talker(f"user-{number}")) for number in range(5)]
        async with asyncio.TaskGroup() as group:
            ends = [group.create_task(talker.hear_the_end()) for talker in talkers]
            await place.server.drain(3.0)
    told = [json.loads(end.result()[1]) for end in ends]
    assert {end.result()[0] for end in ends} == {1001}
    delays = {each["reconnect_in_ms"] for each in told}
    assert all(0 <= delay <= SPREAD_SECONDS * 1000 for delay in delays)
    assert len(delays) > 1
    assert closes("1001") == before + 5


async def test_the_deadline_of_the_handshake_is_not_that_of_the_conversation(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines: list[float | None] = []
    post = place.house.chat.post

    async def noting(who: Who, room_id: str, key: str, text: str) -> int:
        deadlines.append(context.deadline.get())
        return await post(who, room_id, key, text)

    monkeypatch.setattr(place.house.chat, "post", noting)
    async with place.talker("ada", ("X-Request-Deadline", "1")) as ada:
        await ada.ask("subscribe", TEA)
        assert (await ada.ask("post", TEA, key="k", text="still here"))["type"] == "posted"
    assert deadlines == [None]
