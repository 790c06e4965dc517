"""Events over a bus in memory, which can be killed, to those whom they concern."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.message import Message as ProtobufMessage
from google.protobuf.timestamp_pb2 import Timestamp
from shop.chat.v1.chat_pb2 import Message as ChatMessage
from shop.chat.v1.chat_pb2 import Room
from shop.chat.v1.events_pb2 import MemberAdded, MemberRemoved, MessageDeleted, MessagePosted, RoomCreated
from shop.order.v1.events_pb2 import OrderCancelled, OrderConfirmed, OrderPlaced
from shop.order.v1.order_pb2 import Order, OrderStatus

from services.ws_gateway.handler import feed as module
from services.ws_gateway.handler.feed import CHAT, ORDER, Feed
from shared.events.bus import Message
from shared.events.memory import MemoryBus, MemoryEngine
from shared.tasks import background
from shared.websocket.encoding import Encoded
from tests.services.events import arriving
from tests.services.ws_gateway.fakes import COFFEE, TEA, Ear, House, content_of, opened
from tests.waiting import eventually

AT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


class Line:
    """A feed into a house, from a bus that may die. What goes to users' own sockets is kept."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.engine = MemoryEngine()
        self.to_users: list[tuple[str, dict[str, Any]]] = []
        self.feed = Feed(MemoryBus(self.engine), house.rooms, self._to_user)

    def _to_user(self, user_id: str, frame: Encoded) -> None:
        self.to_users.append((user_id, content_of(frame)))

    async def publish(self, *messages: Message) -> None:
        async with MemoryBus(self.engine).publisher([CHAT, ORDER]) as publisher:
            await publisher.send(messages)
            await publisher.confirm()

    async def report(self, topic: str, key: str, *events: ProtobufMessage) -> None:
        await self.publish(*[arriving(event, topic, key) for event in events])


@pytest.fixture
async def line(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Line]:
    monkeypatch.setattr(module, "FIRST_RETRY_SECONDS", 0.01)
    async with opened() as house:
        line = Line(house)
        async with background(line.feed.run(), "feed"):
            await asyncio.sleep(0)  # from now on nothing is missed
            yield line


@pytest.fixture
async def ada(line: Line) -> Ear:
    ada = Ear("ada")
    await line.house.subscribe(ada)
    return ada


def said(seq: int, text: str = "hello", room_id: str = TEA, *, deleted: bool = False) -> ChatMessage:
    at = Timestamp()
    at.FromDatetime(AT)
    message = ChatMessage(room_id=room_id, seq=seq, user_id="bob", display_name="Bob", text=text, at=at)
    message.deleted = deleted
    return message


def order(status: OrderStatus.ValueType, reason: str = "") -> Order:
    return Order(order_id="o-1", user_id="ada", status=status, reason=reason)


# Chat


async def test_what_is_said_comes_to_who_is_in_the_room(line: Line, ada: Ear) -> None:
    await line.report(CHAT, TEA, MessagePosted(message=said(1)))
    await eventually(lambda: ada.numbers)
    assert ada.of_type("message") == [
        {
            "type": "message",
            "room": TEA,
            "seq": 1,
            "user_id": "bob",
            "display_name": "Bob",
            "text": "hello",
            "at": "2026-01-02T03:04:05.678Z",
        }
    ]


async def test_what_comes_again_is_told_once_and_a_deletion_after_its_message(line: Line, ada: Ear) -> None:
    one, two = MessagePosted(message=said(1)), MessagePosted(message=said(2))
    gone = MessageDeleted(message=said(2, "", deleted=True), deleted_by="bob")
    await line.report(CHAT, TEA, one, gone, one, two, two)
    await eventually(lambda: ada.of_type("deleted"))
    await line.report(CHAT, TEA, MessagePosted(message=said(3)))
    await eventually(lambda: ada.numbers == [1, 2, 3])
    kinds = [frame["type"] for frame in ada.of_type("message", "deleted")]
    assert kinds == ["message", "message", "deleted", "message"]


async def test_who_was_removed_is_looked_at(line: Line, ada: Ear) -> None:
    line.house.chat.strangers.add("ada")
    await line.report(CHAT, TEA, MemberRemoved(room_id=TEA, user_id="ada"))
    await eventually(lambda: ada.of_type("unsubscribed"))


async def test_what_is_no_concern_of_ours_is_passed_over(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room(room_id=TEA, name="tea", owner_id="bob")
    await line.report(CHAT, TEA, RoomCreated(room=room), MemberAdded(room_id=TEA, user_id="eve"))
    await line.report(CHAT, TEA, MessagePosted(message=said(1)))
    await eventually(lambda: ada.numbers == [1])
    assert caplog.records == []


async def test_what_happens_where_nobody_is_is_not_even_read(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    await line.feed.handle(Message(CHAT, COFFEE, b"no event"))
    await line.feed.handle(arriving(MessagePosted(message=said(1, room_id=COFFEE)), CHAT, COFFEE))
    assert (ada.numbers, caplog.records) == ([], [])
    assert COFFEE not in line.house.rooms


# Orders


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (OrderPlaced(order=order(OrderStatus.ORDER_STATUS_PENDING)), {"status": "PENDING"}),
        (OrderConfirmed(order=order(OrderStatus.ORDER_STATUS_CONFIRMED)), {"status": "CONFIRMED"}),
        (
            OrderCancelled(order=order(OrderStatus.ORDER_STATUS_CANCELLED, "out_of_stock")),
            {"status": "CANCELLED", "reason": "out_of_stock"},
        ),
    ],
    ids=["placed", "confirmed", "cancelled"],
)
async def test_what_becomes_of_an_order_comes_to_its_owner(
    line: Line, event: ProtobufMessage, told: dict[str, str]
) -> None:
    await line.report(ORDER, "o-1", event)
    await eventually(lambda: line.to_users)
    assert line.to_users == [("ada", {"type": "order", "order_id": "o-1", **told})]


async def test_a_status_of_a_later_release_is_passed_over(line: Line, ada: Ear) -> None:
    newer = arriving(OrderConfirmed(order=order(99)), ORDER, "o-1")  # type: ignore[arg-type]
    await line.publish(newer)
    await line.report(ORDER, "o-1", OrderConfirmed(order=order(OrderStatus.ORDER_STATUS_CONFIRMED)))
    await eventually(lambda: line.to_users)
    assert [frame["status"] for _, frame in line.to_users] == ["CONFIRMED"]


# What cannot be read, and a bus that dies


BROKEN: Sequence[bytes] = [
    b"",
    b"no event",
    b"\xff",
    b"[" * 10_000,
    arriving(MessagePosted(message=said(1)), CHAT, TEA).value.replace(b'"seq": "1"', b'"seq": "x"'),
    arriving(MessagePosted(message=said(1)), CHAT, TEA).value.replace(b"2026-01-02", b"2026-99-02"),
]


async def test_what_cannot_be_read_is_passed_over_with_a_word(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    await line.publish(*[Message(CHAT, TEA, octets) for octets in BROKEN], Message(ORDER, "o", b"{}"))
    await line.report(CHAT, TEA, MessagePosted(message=said(1)))
    await eventually(lambda: ada.numbers == [1])
    await eventually(lambda: len(caplog.records) == len(BROKEN) + 1)
    assert {record.message for record in caplog.records} == {"event passed over"}
    assert all(vars(record)["place"] for record in caplog.records)


async def test_a_fault_of_ours_stops_no_other_event(
    line: Line, ada: Ear, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(user_id: str, frame: Encoded) -> None:
        raise RuntimeError

    monkeypatch.setattr(line.feed, "_send_to_user", broken)
    await line.report(ORDER, "o-1", OrderConfirmed(order=order(OrderStatus.ORDER_STATUS_CONFIRMED)))
    await eventually(lambda: caplog.records)
    monkeypatch.undo()
    await line.report(ORDER, "o-1", OrderPlaced(order=order(OrderStatus.ORDER_STATUS_PENDING)))
    await eventually(lambda: line.to_users)
    assert [frame["status"] for _, frame in line.to_users] == ["PENDING"]
    assert [record.message for record in caplog.records] == ["event failed"]


async def test_a_message_that_a_fault_of_ours_has_lost_is_fetched(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line.house.rooms, "happened", None)
    line.house.chat.say("hello", is_heard=False)
    await line.report(CHAT, TEA, MessagePosted(message=said(1)))
    await eventually(lambda: ada.numbers == [1])
    assert [record.message for record in caplog.records] == ["event failed"]


async def test_what_the_bus_lost_is_fetched_once_it_is_back(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    line.engine.kill()
    line.house.chat.say("lost", is_heard=False)
    await eventually(lambda: any(record.message == "events do not come" for record in caplog.records))
    assert ada.numbers == []
    line.engine.start()
    await eventually(lambda: ada.numbers == [1])
    assert caplog.records[-1].message == "events come again"
    await line.report(CHAT, TEA, MessagePosted(message=said(2)))
    await eventually(lambda: ada.numbers == [1, 2])


async def test_what_happened_while_the_bus_was_away_comes_once_it_is_back(
    line: Line, ada: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    await line.report(CHAT, TEA, MessagePosted(message=said(1)))
    await eventually(lambda: ada.numbers == [1])
    line.engine.kill()
    await eventually(lambda: any(record.message == "events do not come" for record in caplog.records))
    line.engine.start()  # what is published now comes before the feed can listen again
    await line.report(CHAT, TEA, MessageDeleted(message=said(1, "", deleted=True), deleted_by="bob"))
    await line.report(ORDER, "o-1", OrderConfirmed(order=order(OrderStatus.ORDER_STATUS_CONFIRMED)))
    await eventually(lambda: line.to_users and ada.of_type("deleted"))
    assert ada.numbers == [1]
