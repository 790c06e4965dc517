"""Who hears what is said in a room, and that they hear all of it, in order, once.

The truth is the chat service's database. Events bring what is new; where they leave a gap, because the bus
was away or has lost something, what is missing is fetched from chat. A subscriber's own past is fetched from
there, too, up to a bound: past it the answer says that it is not here, and where it can be read.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Protocol

from services.ws_gateway import frames
from services.ws_gateway.domain.chat import Chat, Message, Who
from services.ws_gateway.domain.rooms import Entry, Posted, Room, Subscription
from services.ws_gateway.service.presence import Presence
from shared.duties import failure_of
from shared.errors import ApplicationError, NotFound, Unavailable
from shared.observability import metrics
from shared.observability.trouble import IntermittentTrouble
from shared.tasks import spawn
from shared.websocket.encoding import Encoded

RECOVERY_MESSAGES = 1_000  # missed by a returning client; whoever missed more reads the history
RECOVERY_BYTES = 524_288  # of the answer to it, which must fit into a slow reader's queue
PAGE_MESSAGES = 200
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.2, 2.0  # while chat is away, doubling
CHECKED_AT_ONCE = 8  # listeners whose rooms are checked at the same time

_log = logging.getLogger(__name__)


class Listener(Protocol):
    """Somebody with a socket."""

    who: Who
    subscriptions: dict[str, Subscription]  # by room

    def send(self, frame: Encoded) -> None:
        """Without waiting."""


class TooManySubscriptions(ApplicationError):
    """One socket wants to hear more rooms than it may."""

    code = "too_many_subscriptions"


@dataclass(frozen=True, slots=True)
class _Past:
    """What a new subscriber is told first: everything up to `seq`, if it is `recovered`."""

    seq: int
    messages: Sequence[Message]
    recovered: bool = True


class Rooms:
    """The rooms in which somebody is, of this process."""

    def __init__(
        self,
        chat: Chat,
        presence: Presence,
        subscriptions_at_most: int,
        recovery_bytes: int = RECOVERY_BYTES,
    ) -> None:
        """`subscriptions_at_most` is for each listener, `recovery_bytes` for each answer with a past."""
        self._chat = chat
        self._presence = presence
        self._subscriptions_at_most = subscriptions_at_most
        self._recovery_bytes = recovery_bytes
        self._rooms: dict[str, Room[Listener]] = {}
        self._being_filled: set[str] = set()
        self._removed: dict[Listener, None] = {}  # from some room, as an event says: to be checked first
        self._suspects: dict[Listener, None] = {}  # chat is to be asked about their rooms
        self._has_suspects = asyncio.Event()
        self._trouble = IntermittentTrouble(_log, "rooms cannot be caught up", "rooms are caught up again")

    def __contains__(self, room_id: str) -> bool:
        return room_id in self._rooms

    def count(self) -> int:
        """How many subscriptions there are."""
        return sum(len(room.subscriptions) for room in self._rooms.values())

    # What listeners ask

    async def subscribe(self, listener: Listener, request: frames.Subscribe) -> None:
        """Register first, then fetch the past, then drop what it has had: nothing falls between the two.

        Raises NotFound, Unavailable, TooManySubscriptions.
        """
        self.unsubscribe(listener, request.room)
        if len(listener.subscriptions) >= self._subscriptions_at_most:
            raise TooManySubscriptions(f"A socket may hear {self._subscriptions_at_most} rooms.")
        subscription = self._join(listener, request.room)
        try:
            past = await self._past(listener.who, request.room, request.after)
            if listener.subscriptions.get(request.room) is not subscription:
                raise NotFound("There is no such room.")  # any more: it has ended meanwhile
            if subscription.has_lost_track:
                raise Unavailable("Too much is being said in this room.")
        except BaseException:
            self._leave(listener, request.room, subscription)
            raise
        self._welcome(listener, request, past)

    def unsubscribe(self, listener: Listener, room_id: str) -> None:
        """Hear no more of the room, if the listener did."""
        subscription = listener.subscriptions.get(room_id)
        if subscription is not None:
            self._leave(listener, room_id, subscription)

    def unsubscribe_from_all(self, listener: Listener) -> None:
        """The listener has gone."""
        for room_id in list(listener.subscriptions):
            self.unsubscribe(listener, room_id)

    async def post(self, listener: Listener, request: frames.Post) -> None:
        """Say something. It comes back to everybody over the bus. Raises what Chat does, NotFound."""
        if request.room not in listener.subscriptions:
            raise ApplicationError("Subscribe to the room before you speak in it.", code="not_subscribed")
        seq = await self._chat.post(listener.who, request.room, request.key, request.text)
        listener.send(frames.posted(request, seq))

    # What has happened

    def happened(self, room_id: str, entry: Entry) -> None:
        """Something has come over the bus. Its content is a frame."""
        room = self._rooms.get(room_id)
        if room is not None:
            self._pass_on(room, room.receive(entry))
            self._fill_if_behind(room_id, room)

    def announce(self, room_id: str, joined: Sequence[str], left: Sequence[str]) -> None:
        """Who has come and gone."""
        room = self._rooms.get(room_id)
        if room is not None:
            frame = frames.presence(room_id, joined, left)
            for listener, subscription in room.subscriptions.items():
                if subscription.is_live:
                    listener.send(frame)

    def member_removed(self, room_id: str, user_id: str) -> None:
        """Who may not know of the room any more must hear no more of it."""
        room = self._rooms.get(room_id)
        if room is not None:
            self._removed.update((each, None) for each in room.subscriptions if each.who.user_id == user_id)
            self._has_suspects.set()

    def missed_something(self) -> None:
        """Events were lost on the way here, perhaps."""
        for room in self._rooms.values():
            self._suspects.update(dict.fromkeys(room.subscriptions))
        self._has_suspects.set()

    # Asking chat what is true

    async def run(self) -> None:
        """Until cancelled: check what may have changed without our having heard of it."""
        pause = FIRST_RETRY_SECONDS
        while True:
            await self._has_suspects.wait()
            some = self._next_suspects()
            if all(await asyncio.gather(*map(self._checked_or_suspect_again, some))):
                pause = FIRST_RETRY_SECONDS
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_SECONDS)

    def _next_suspects(self) -> list[Listener]:
        """A few, those first of whom it is known that they were removed from somewhere."""
        some = list(islice(chain(self._removed, self._suspects), CHECKED_AT_ONCE))
        for listener in some:
            self._removed.pop(listener, None)
            self._suspects.pop(listener, None)
        if not some:
            self._has_suspects.clear()
        return some

    async def _checked_or_suspect_again(self, listener: Listener) -> bool:
        """False when chat is away; the listener is a suspect again."""
        if reason := await failure_of(lambda: self._check(listener)):
            self._trouble.failed(reason)
            self._suspects[listener] = None
            return False
        self._trouble.worked()
        return True

    async def _check(self, listener: Listener) -> None:
        """May they still hear their rooms, and is there something newer than they know?"""
        room_ids = list(listener.subscriptions)
        heads = await self._chat.heads(listener.who, room_ids) if room_ids else {}
        for room_id in room_ids:
            room = self._rooms.get(room_id)
            if room_id not in heads:
                self._remove(listener, room_id)
            elif room is not None:
                room.expect(heads[room_id])
                self._fill_if_behind(room_id, room)

    def _remove(self, listener: Listener, room_id: str) -> None:
        subscription = listener.subscriptions.get(room_id)
        if subscription is not None:
            self._leave(listener, room_id, subscription)
            if subscription.is_live:  # otherwise its request is still to be answered
                listener.send(frames.removed(room_id))

    # The past

    async def _past(self, who: Who, room_id: str, after: int | None) -> _Past:
        if after is None:
            heads = await self._chat.heads(who, [room_id])
            if room_id not in heads:
                raise NotFound("There is no such room.")
            return _Past(heads[room_id], ())
        messages: list[Message] = []
        reached = after
        while True:
            page = await self._chat.messages(who, room_id, reached, PAGE_MESSAGES)
            messages += page.messages
            if _is_too_much(after, page.head, messages, self._recovery_bytes):
                return _Past(page.head, (), recovered=False)
            reached = messages[-1].seq if messages else after
            if reached >= page.head:
                return _Past(reached, messages)

    def _welcome(self, listener: Listener, request: frames.Subscribe, past: _Past) -> None:
        subscription, room = listener.subscriptions[request.room], self._rooms[request.room]
        frame = frames.subscribed(request, past.seq, past.messages, recovered=past.recovered)
        if frame.size > self._recovery_bytes:
            past = _Past(past.seq, (), recovered=False)
            frame = frames.subscribed(request, past.seq, past.messages, recovered=past.recovered)
        listener.send(frame)
        for entry in subscription.catch_up(past.seq):
            listener.send(entry.content)
        self._pass_on(room, room.begin(subscription.seq))
        self._fill_if_behind(request.room, room)
        if request.after is not None:
            metrics.WS_RECOVERIES.labels("recovered" if past.recovered else "refused").inc()
        self._presence.entered(request.room, listener.who.user_id)
        present = self._presence.present(request.room)
        if present is not None:
            listener.send(frames.presence(request.room, sorted(present), []))

    # Coming and going

    def _join(self, listener: Listener, room_id: str) -> Subscription:
        subscription = Subscription()
        self._rooms.setdefault(room_id, Room()).subscriptions[listener] = subscription
        listener.subscriptions[room_id] = subscription
        return subscription

    def _leave(self, listener: Listener, room_id: str, subscription: Subscription) -> None:
        """End that very subscription; a later one to the same room stays."""
        if listener.subscriptions.get(room_id) is not subscription:
            return
        del listener.subscriptions[room_id]
        room = self._rooms[room_id]
        del room.subscriptions[listener]
        if not room.subscriptions:
            del self._rooms[room_id]
        if subscription.is_live:
            self._presence.left(room_id, listener.who.user_id)

    # Passing on

    def _pass_on(self, room: Room[Listener], entries: Sequence[Entry]) -> None:
        for entry in entries:
            told = 0
            for listener, subscription in room.subscriptions.items():
                if subscription.takes(entry):
                    listener.send(entry.content)
                    told += 1
            metrics.WS_MESSAGES_OUT.inc(told)

    def _fill_if_behind(self, room_id: str, room: Room[Listener]) -> None:
        if room.is_behind and room_id not in self._being_filled:
            self._being_filled.add(room_id)
            spawn(self._fill(room_id), f"gap in room {room_id}")

    async def _fill(self, room_id: str) -> None:
        """Fetch what is missing, in the name of somebody who is there, until nothing is."""
        pause = FIRST_RETRY_SECONDS
        try:
            while (room := self._rooms.get(room_id)) is not None and room.is_behind:
                if await self._filled_a_little(room_id, room):
                    pause = FIRST_RETRY_SECONDS
                    continue
                await asyncio.sleep(pause)
                pause = min(2 * pause, LAST_RETRY_SECONDS)
        finally:
            self._being_filled.discard(room_id)

    async def _filled_a_little(self, room_id: str, room: Room[Listener]) -> bool:
        """One page more, or one listener less; False when chat is away."""
        listener = next(iter(room.subscriptions))
        try:
            history = await self._chat.messages(listener.who, room_id, room.seq or 0, room.at_once)
        except NotFound:
            self._remove(listener, room_id)
            return True
        except ApplicationError as failure:
            self._trouble.failed(failure.code, detail=failure.detail)
            return False
        metrics.WS_RECOVERIES.labels("gap").inc()
        messages = [Posted(each.seq, frames.message(each)) for each in history.messages]
        self._pass_on(room, room.fill(messages, history.head))
        return True


def _is_too_much(after: int, head: int, messages: Sequence[Message], most_bytes: int) -> bool:
    """More was missed than is told again; or what we were told to go on from does not exist."""
    missed = head - after
    is_hole = not messages and missed > 0
    size = sum(len(each.text.encode()) for each in messages)
    return missed < 0 or missed > RECOVERY_MESSAGES or is_hole or size > most_bytes
