"""What the WebSocket gateway's parts speak with, in memory: chat, a store of presence, a listener."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from services.ws_gateway import frames
from services.ws_gateway.domain.chat import History, Message, Who
from services.ws_gateway.domain.presence import PresenceStore, Report, Sight, Terms
from services.ws_gateway.domain.rooms import Deleted, Posted, Subscription
from services.ws_gateway.service.presence import Presence
from services.ws_gateway.service.rooms import Rooms
from shared.errors import Conflict, FieldError, Invalid, NotFound, Unavailable
from shared.tasks import background
from shared.websocket.encoding import Encoded

TEA = "018cc251-f400-7000-8000-00000000007e"
COFFEE = "018cc251-f400-7000-8000-0000000000c0"
SUBSCRIPTIONS = 3  # of one listener, at most


def who(name: str, issued_at_ms: int = 0) -> Who:
    """User `name`, whose session and token are called after them."""
    return Who(name, name.title(), f"session of {name}", f"token of {name}", frozenset(), issued_at_ms)


def content_of(frame: Encoded) -> dict[str, Any]:
    """What a receiver without compression reads (RFC 6455 section 5.2)."""
    octets = frame.frame(None)
    head = {126: 4, 127: 10}.get(octets[1], 2)
    content: dict[str, Any] = json.loads(octets[head:])
    return content


class FakeChat:
    """The domain's Chat. `on_event` gets what would come over the bus: a room's id and an entry."""

    def __init__(self) -> None:
        self.rooms: dict[str, list[Message]] = {TEA: [], COFFEE: []}
        self.strangers: set[str] = set()  # users who may know of no room
        self.is_away = False
        self.page_at_most = 1_000  # messages in one answer, whatever was asked for
        self.calls: Counter[str] = Counter()
        self.on_event: Callable[[str, Posted | Deleted], None] = lambda room_id, entry: None
        self._keys: dict[tuple[str, str, str], int] = {}
        self._late: dict[str, asyncio.Event] = {}  # by call

    # What has been said

    def say(self, text: str, room_id: str = TEA, *, by: str = "bob", is_heard: bool = True) -> int:
        """A message is committed; its event comes unless it is not `is_heard`."""
        messages = self.rooms[room_id]
        seq = len(messages) + 1
        messages.append(Message(room_id, seq, by, by.title(), text, "2026-01-01T00:00:00Z"))
        if is_heard:
            self.on_event(room_id, Posted(seq, frames.message(messages[-1])))
        return seq

    def delete(self, seq: int, room_id: str = TEA) -> None:
        """A message becomes a tombstone, and its event comes."""
        self.rooms[room_id][seq - 1] = replace(self.rooms[room_id][seq - 1], text="", deleted=True)
        self.on_event(room_id, Deleted(seq, frames.deleted(room_id, seq)))

    # What can go wrong

    @asynccontextmanager
    async def answering_late(self, *calls: str) -> AsyncIterator[None]:
        """What chat answers to such calls while the block runs arrives when it is left."""
        arrival = asyncio.Event()
        self._late = dict.fromkeys(calls, arrival)
        try:
            yield
        finally:
            self._late = {}
            arrival.set()

    # Chat

    async def post(self, who: Who, room_id: str, key: str, text: str) -> int:
        self._let_in("post", who, room_id)
        if not text:
            raise Invalid("Some fields are not good.", (FieldError("text", "is empty"),))
        seq = self._keys.get((who.user_id, room_id, key))
        if seq is not None and self.rooms[room_id][seq - 1].text != text:
            raise Conflict("That key was used for another text.", code="key-reused")
        if seq is None:
            seq = self._keys[who.user_id, room_id, key] = self.say(text, room_id, by=who.user_id)
        await self._arrival("post")
        return seq

    async def messages(self, who: Who, room_id: str, after: int, limit: int) -> History:
        self._let_in("messages", who, room_id)
        said = self.rooms[room_id]
        answer = History(said[after : after + min(limit, self.page_at_most)], len(said))
        await self._arrival("messages")
        return answer

    async def heads(self, who: Who, room_ids: Sequence[str]) -> Mapping[str, int]:
        self._let_in("heads", who, TEA)
        known = {} if who.user_id in self.strangers else self.rooms
        answer = {each: len(known[each]) for each in room_ids if each in known}
        await self._arrival("heads")
        return answer

    async def _arrival(self, call: str) -> None:
        if call in self._late:
            await self._late[call].wait()

    def _let_in(self, call: str, who: Who, room_id: str) -> None:
        self.calls[call] += 1
        if self.is_away:
            raise Unavailable("chat does not answer.")
        if call != "heads" and (room_id not in self.rooms or who.user_id in self.strangers):
            raise NotFound("There is no such room.")


class FakePresenceStore:
    """The domain's PresenceStore, of one process."""

    def __init__(self) -> None:
        self._here: dict[str, frozenset[str]] = {}

    async def exchange(self, reports: Sequence[Report], terms: Terms) -> Sequence[Sight]:
        self._here |= {report.room_id: frozenset(report.here) for report in reports}
        return [Sight(self._here[report.room_id], terms.life_seconds, 0) for report in reports]

    async def listen(self, nudged: Callable[[str], None]) -> None:
        await asyncio.Event().wait()


class CountedPresence(Presence):
    """Presence, with how many connections of each user are in each room as it was told."""

    def __init__(self, store: PresenceStore, announce: Callable[..., None]) -> None:
        super().__init__(store, announce, pace_seconds=0.02)
        self.connections: Counter[tuple[str, str]] = Counter()

    def entered(self, room_id: str, user_id: str) -> None:
        self.connections[room_id, user_id] += 1
        super().entered(room_id, user_id)

    def left(self, room_id: str, user_id: str) -> None:
        self.connections[room_id, user_id] -= 1
        super().left(room_id, user_id)


class Ear:
    """The service's Listener: what it hears is kept."""

    def __init__(self, name: str) -> None:
        self.who = who(name)
        self.subscriptions: dict[str, Subscription] = {}
        self.heard: list[dict[str, Any]] = []

    def send(self, frame: Encoded) -> None:
        self.heard.append(content_of(frame))

    def of_type(self, *kinds: str) -> list[dict[str, Any]]:
        """The frames of these types that it has heard."""
        return [each for each in self.heard if each["type"] in kinds]

    @property
    def numbers(self) -> list[int]:
        """Of the messages, in the order in which they came: in answers, or by themselves."""
        told: list[int] = []
        for frame in self.of_type("subscribed", "message"):
            told += [each["seq"] for each in frame.get("messages", [frame])]
        return told


class House:
    """Rooms over a chat, with presence; while `opened`, everything in it is at work."""

    def __init__(self) -> None:
        self.chat = FakeChat()
        self.presence = CountedPresence(FakePresenceStore(), self._announce)
        self.rooms = Rooms(self.chat, self.presence, SUBSCRIPTIONS)
        self.chat.on_event = self.rooms.happened

    def _announce(self, room_id: str, joined: Sequence[str], left: Sequence[str]) -> None:
        self.rooms.announce(room_id, joined, left)

    async def subscribe(self, ear: Ear, after: int | None = None, room_id: str = TEA) -> None:
        await self.rooms.subscribe(ear, frames.Subscribe(room=room_id, id=1, after=after))


@asynccontextmanager
async def opened() -> AsyncIterator[House]:
    house = House()
    async with background(house.rooms.run(), "rooms"), background(house.presence.run(), "presence"):
        yield house
