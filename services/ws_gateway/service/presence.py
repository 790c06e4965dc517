"""Presence kept up to date: this process's users are reported, and everybody's are announced.

- A room with users here is looked at as soon as something may have changed in it (somebody came or went here,
  another process nudged, an entry expires), and when nothing has, every few seconds. A look reports, sees and
  announces; the rooms that are due share one exchange with the store.
- A room without users here is forgotten, once the store knows that they are gone.
- Whoever is missing in the store need not be gone: while it was away nobody could renew, and after a wipe it
  knows only who has come back. So after either nothing is announced until all have had the time to renew.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from services.ws_gateway.domain.presence import (
    MEMBERS_AT_MOST,
    Agenda,
    PresenceStore,
    Report,
    Room,
    Sight,
    Terms,
)
from shared.duties import failure_of
from shared.errors import Unavailable
from shared.observability.trouble import IntermittentTrouble, Trouble
from shared.tasks import together

GRACE_SECONDS = 5.0  # a client that reconnects takes less
RENEW_SECONDS = 5.0
LIFE_SECONDS = 15.0  # two renewals may fail
PACE_SECONDS = 1.0  # between two announcements in a room, at least
ROOMS_AT_ONCE = 50  # in one exchange: it holds up everybody else, here and in the store, for some ms

Announce = Callable[[str, Sequence[str], Sequence[str]], None]

_log = logging.getLogger(__name__)


class Presence:
    """Who is in the rooms in which this process has users, while `run` runs.

    `announce` is called with a room's id, the ids of the users who joined, and of those who left.
    """

    def __init__(
        self,
        store: PresenceStore,
        announce: Announce,
        *,
        grace_seconds: float = GRACE_SECONDS,
        renew_seconds: float = RENEW_SECONDS,
        life_seconds: float = LIFE_SECONDS,
        pace_seconds: float = PACE_SECONDS,
        members_at_most: int = MEMBERS_AT_MOST,
    ) -> None:
        self._store = store
        self._announce = announce
        self._terms = Terms(life_seconds, grace_seconds, members_at_most)
        self._pause_seconds = pace_seconds / 10  # between exchanges: what happens meanwhile shares one
        self._retry_seconds = pace_seconds / 2  # after a failure of the store
        self._doubt_seconds = renew_seconds + 2 * pace_seconds  # all others have renewed meanwhile
        self._rooms: dict[str, Room] = {}
        self._agenda = Agenda(pace_seconds, renew_seconds)
        self._asked = asyncio.Event()
        self._turn = asyncio.Lock()  # whose exchange it is: a look's or the departure's
        self._believed_from = -math.inf  # what the store shows, by our clock; infinite while it is away
        self._has_departed = False
        self._trouble = Trouble(_log, "presence is not up to date", "presence is up to date")
        self._deafness = IntermittentTrouble(_log, "presence is not nudged", "presence is nudged again")

    def entered(self, room_id: str, user_id: str) -> None:
        """One more connection of the user has subscribed to the room. Does not wait."""
        if self._has_departed:
            return
        room = self._rooms.get(room_id)
        if room is None:
            room = self._rooms[room_id] = Room(room_id, self._terms.members_at_most)
        if room.entered(user_id):
            self._look_soon(room_id)

    def left(self, room_id: str, user_id: str) -> None:
        """One of those has unsubscribed or is gone. Does not wait."""
        room = self._rooms.get(room_id)
        if room is not None and room.left(user_id):
            self._look_soon(room_id)

    def present(self, room_id: str) -> frozenset[str] | None:
        """Who is in the room as last announced; None while that is not known, or presence is off there."""
        room = self._rooms.get(room_id)
        return None if room is None else room.announced

    async def run(self) -> None:
        """Keep up until cancelled; a store that is away is waited for."""
        await together(self._keep_looking(), self._keep_listening())

    async def depart(self) -> None:
        """Give up all users of this process: they count as gone unless they come back elsewhere in the grace.

        Nothing is announced here any more. When the store is away, the entries expire by themselves.
        """
        async with self._turn:
            self._has_departed = True
            rooms = list(self._rooms.values())
            for room in rooms:
                self._forget(room)
            farewells = [room.farewell() for room in rooms]
            with suppress(Unavailable):
                for start in range(0, len(farewells), ROOMS_AT_ONCE):
                    await self._store.exchange(farewells[start : start + ROOMS_AT_ONCE], self._terms)

    # Looking

    def _look_soon(self, room_id: str) -> None:
        self._agenda.ask(room_id, time.monotonic())
        self._asked.set()

    async def _keep_looking(self) -> None:
        while True:
            await self._until_due()
            if reason := await failure_of(self._look):
                self._trouble.is_now(reason)
            else:
                self._trouble.is_over()
            await asyncio.sleep(self._retry_seconds if reason else self._pause_seconds)

    async def _until_due(self) -> None:
        while (seconds := self._agenda.next() - time.monotonic()) > 0:
            self._asked.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds if math.isfinite(seconds) else None):
                    await self._asked.wait()

    async def _look(self) -> None:
        """At all rooms that are due. Raises Unavailable."""
        began = time.monotonic()
        while self._agenda.next() <= began:
            async with self._turn:
                due = self._agenda.take(time.monotonic(), ROOMS_AT_ONCE)
                await self._look_at([self._rooms[room_id] for room_id in due])

    async def _look_at(self, rooms: Sequence[Room]) -> None:
        reports = [room.report() for room in rooms]
        try:
            sights = await self._store.exchange(reports, self._terms)
        except Unavailable:
            self._saw_nothing(rooms)
            raise
        if self._believed_from == math.inf:
            self._believe_later()
        for room, report, sight in zip(rooms, reports, sights, strict=True):
            self._saw(room, report, sight)

    def _saw_nothing(self, rooms: Sequence[Room]) -> None:
        self._believed_from = math.inf
        for room in rooms:
            if room.is_over:
                self._forget(room)
            else:
                self._agenda.ask(room.room_id, time.monotonic())

    def _saw(self, room: Room, report: Report, sight: Sight) -> None:
        if not room.confirmed(report, sight):
            self._believe_later()
        if room.is_over:
            self._forget(room)
            return
        now = time.monotonic()
        self._agenda.ask(room.room_id, now + sight.seconds)
        if now < self._believed_from:
            self._agenda.ask(room.room_id, self._believed_from)
        elif room.has_users:
            self._tell(room, sight.users)

    def _tell(self, room: Room, users: frozenset[str]) -> None:
        if change := room.announce(users):
            self._announce(room.room_id, change.joined, change.left)

    def _believe_later(self) -> None:
        self._believed_from = time.monotonic() + self._doubt_seconds

    def _forget(self, room: Room) -> None:
        del self._rooms[room.room_id]
        self._agenda.forget(room.room_id)

    # Hearing of others

    async def _keep_listening(self) -> None:
        while True:
            self._deafness.failed(await failure_of(partial(self._store.listen, self._nudged)))
            await asyncio.sleep(self._retry_seconds)

    def _nudged(self, room_id: str) -> None:
        self._deafness.worked()
        if room_id in self._rooms:
            self._look_soon(room_id)
