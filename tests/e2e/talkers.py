"""People who talk over WebSockets and do not give up: who loses a connection comes back with a new ticket.

What was said and not answered is said again, under the same key. What was missed is asked for by the number
that was seen last. So in the end everybody must have heard everything, once, in order: see `transcripts`.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count, cycle
from typing import Any

from scripts.support.websocket_client import HandshakeRefused, Socket, SocketClosed, connect
from tests.e2e.people import OK, LoggedOut, Person
from tests.e2e.transcripts import Line, Transcript

PAUSE_SECONDS = 0.2  # before something is tried again
HISTORY_PAGE = 100
GOING_AWAY, SESSION_ENDED = 1001, 4401
PASSING = ("unavailable", "busy")  # codes of errors that are gone when one asks again

Frame = Mapping[str, Any]


class Refused(Exception):
    """A request on a socket was answered with an error."""

    def __init__(self, frame: Frame) -> None:
        self.code = str(frame["code"])
        super().__init__(f"{self.code}: {frame.get('detail')}")


class Talker:
    """`person` in some rooms, on one connection after the other, each to the next of `gateways` in turn."""

    def __init__(
        self, person: Person, gateways: Sequence[str], room_ids: Sequence[str], after: int | None = 0
    ) -> None:
        """`gateways` are URLs without a ticket; `after` None is for what is said from now on."""
        self.person = person
        self.transcripts = {room_id: Transcript(after) for room_id in room_ids}
        self.present: dict[str, set[str]] = {room_id: set() for room_id in room_ids}
        self.posted: dict[str, list[Line]] = {room_id: [] for room_id in room_ids}
        self.others: list[Frame] = []  # neither asked for nor of the kinds that are kept above
        self.closes: list[SocketClosed] = []
        self.troubles = Counter[str]()
        self._gateways = cycle(gateways)
        self._ids = count(1)
        self._socket: Socket | None = None
        self._connected = asyncio.Event()
        self._entered = {room_id: asyncio.Event() for room_id in room_ids}
        self._entering: dict[int, str] = {}  # rooms, by the identifier of the request
        self._asked: dict[int, asyncio.Future[Frame]] = {}

    def __str__(self) -> str:
        heard = [f"{room_id}: {each.seen}" for room_id, each in self.transcripts.items()]
        return (
            f"{self.person.email} has heard {heard}, was closed by {self.closes}, had {dict(self.troubles)}"
        )

    async def run(self) -> None:
        """Until cancelled, or until the session has ended. Raises Refused by a room."""
        with suppress(LoggedOut):
            pause: float | None = 0.0
            while pause is not None:
                await asyncio.sleep(pause)
                pause = await self._connect()

    async def entered(self) -> None:
        """Return when there is a connection, and all rooms have been entered."""
        for each in (self._connected, *self._entered.values()):
            await each.wait()

    async def say(self, room_id: str, text: str) -> int:
        """Its number, as soon as it is known. Raises Refused."""
        key = secrets.token_hex(8)
        while True:
            await self._entered[room_id].wait()
            try:
                answer = await self.ask(type="post", room=room_id, key=key, text=text)
            except SocketClosed:
                self.troubles["a post without an answer"] += 1
                await asyncio.sleep(PAUSE_SECONDS)  # whoever listens has to notice, too
            except Refused as refused:
                await self._pause_after(refused)
            else:
                self.posted[room_id].append(Line(int(answer["seq"]), self.person.user_id, text))
                return int(answer["seq"])

    async def ask(self, **frame: object) -> Frame:
        """The answer to a request, on the connection that there is. Raises Refused, SocketClosed."""
        if self._socket is None:
            raise SocketClosed(0, "not connected")
        frame_id = next(self._ids)
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._asked[frame_id] = answer
        try:
            await self._socket.send(json.dumps({"id": frame_id, **frame}))
            return await answer
        finally:
            del self._asked[frame_id]

    async def _pause_after(self, refused: Refused) -> None:
        if refused.code not in PASSING:
            raise refused
        self.troubles[refused.code] += 1
        await asyncio.sleep(PAUSE_SECONDS)

    # One connection

    async def _connect(self) -> float | None:
        """The seconds until the next one; None when there cannot be another."""
        url = f"{next(self._gateways)}?ticket={await self.person.ticket()}"
        try:
            async with connect(url) as self._socket:
                try:
                    await self._listen(self._socket)
                finally:
                    self._forget_connection()
        except SocketClosed as closed:
            self.closes.append(closed)
            return _until_next(closed)
        except (HandshakeRefused, OSError, TimeoutError) as failure:
            self.troubles[f"no connection: {failure or type(failure).__name__}"] += 1
        return PAUSE_SECONDS

    def _forget_connection(self) -> None:
        self._socket = None
        self._entering.clear()
        for each in (self._connected, *self._entered.values()):
            each.clear()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(SocketClosed(0, "the answer was lost"))

    async def _listen(self, socket: Socket) -> None:
        self._connected.set()
        for room_id in self.transcripts:
            await self._enter(socket, room_id)
        while True:
            await self._hear(socket, json.loads(await socket.receive()))

    async def _enter(self, socket: Socket, room_id: str) -> None:
        frame_id, seen = next(self._ids), self.transcripts[room_id].seen
        self._entering[frame_id] = room_id
        after = {} if seen is None else {"after": seen}
        await socket.send(json.dumps({"id": frame_id, "type": "subscribe", "room": room_id, **after}))

    async def _hear(self, socket: Socket, frame: Frame) -> None:
        if frame.get("id") in self._entering:
            await self._hear_of_entering(socket, self._entering.pop(frame["id"]), frame)
        elif "id" in frame:
            self._hear_answer(frame)
        elif frame["type"] == "message":
            self._write_down(frame["room"], frame)
        elif frame["type"] == "presence":
            self.present[frame["room"]] -= {*frame["left"]}
            self.present[frame["room"]] |= {*frame["joined"]}
        else:
            self.others.append(frame)

    def _hear_answer(self, frame: Frame) -> None:
        answer = self._asked.get(frame["id"])
        if answer is None or answer.done():
            return  # who asked is not interested any more
        if frame["type"] == "error":
            answer.set_exception(Refused(frame))
        else:
            answer.set_result(frame)

    # A room

    async def _hear_of_entering(self, socket: Socket, room_id: str, frame: Frame) -> None:
        if frame["type"] == "error":
            await self._pause_after(Refused(frame))
            await self._enter(socket, room_id)
            return
        transcript, head = self.transcripts[room_id], int(frame["seq"])
        if transcript.after is None:
            transcript.after = head
        for message in frame["messages"]:
            self._write_down(room_id, message)
        if not frame["recovered"]:
            await self._read_history(room_id, head)
        assert transcript.seen == head, f"{frame} was to tell all after {transcript.seen}"
        self.present[room_id] = set()  # everybody who is there is told next
        self._entered[room_id].set()

    async def _read_history(self, room_id: str, head: int) -> None:
        """Too much was missed to be told on the socket, which is left alone meanwhile."""
        self.troubles["history read"] += 1
        transcript = self.transcripts[room_id]
        while (seen := transcript.seen or 0) < head:
            limit = min(HISTORY_PAGE, head - seen)
            page = await self.person.ask("GET", f"/chat/rooms/{room_id}/messages?after={seen}&limit={limit}")
            assert page.status == OK, page
            for message in page.document["items"]:
                self._write_down(room_id, message)

    def _write_down(self, room_id: str, message: Frame) -> None:
        line = Line(int(message["seq"]), message["user_id"], message["text"])
        self.transcripts[room_id].lines.append(line)


def _until_next(closed: SocketClosed) -> float | None:
    """Whoever is sent away is told for how long."""
    if closed.code == SESSION_ENDED:
        return None
    if closed.code == GOING_AWAY:
        return float(json.loads(closed.reason)["reconnect_in_ms"]) / 1000
    return PAUSE_SECONDS


@asynccontextmanager
async def talking(*talkers: Talker) -> AsyncIterator[None]:
    """They are in their rooms when the block begins, and stay while it runs. What befalls one ends it."""
    async with asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(each.run()) for each in talkers]
        try:
            for each in talkers:
                await each.entered()
            yield
        finally:
            for task in running:
                task.cancel()
