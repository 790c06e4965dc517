"""`python -m bench.websocket_peer PORT [ROOM]`: what we are measured beside, made with `websockets`.

Without a room it echoes. With one it does as our gateway does: it listens to the event bus that EVENTS_URL
names, puts each message of the room into a frame, and hands it to `broadcast`, which the library has for this
very purpose. It runs on uvloop, as we do, and compresses for clients that offer it, which is its default.
"""

import asyncio
import os
import sys

import msgspec
import uvloop
from shop.chat.v1.events_pb2 import MessagePosted
from websockets.asyncio.server import ServerConnection, broadcast, serve

from shared import descriptors
from shared.config import LOOPBACK, Environment
from shared.events.bus import Message
from shared.events.envelope import decode, unseal
from shared.events.transports import open_bus

CONNECTIONS = 16_000
MESSAGE_BYTES = 16 * 1024 * 1024


async def echo(connection: ServerConnection) -> None:
    """One connection."""
    async for message in connection:
        await connection.send(message)


class Audience:
    """Everybody who has said that they want to hear the room."""

    def __init__(self, room_id: str) -> None:
        self._room_id = room_id
        self._connections: set[ServerConnection] = set()

    async def welcome(self, connection: ServerConnection) -> None:
        """One connection."""
        async for _ in connection:
            self._connections.add(connection)
            await connection.send('{"type":"subscribed"}')
        self._connections.discard(connection)

    async def listen(self) -> None:
        """To the bus, until cancelled."""
        async with open_bus(Environment(os.environ)) as bus:
            await bus.broadcast(["chat"], self._handle, _nothing_was_missed)

    async def _handle(self, message: Message) -> None:
        if message.key == self._room_id:
            broadcast(self._connections, _frame(unseal(decode(message.value), MessagePosted)))
        await asyncio.sleep(0)


def _frame(event: MessagePosted) -> str:
    """As services/ws_gateway/frames.py makes it."""
    said = event.message
    frame = {
        "type": "message",
        "room": said.room_id,
        "seq": said.seq,
        "user_id": said.user_id,
        "display_name": said.display_name,
        "text": said.text,
        "at": said.at.ToJsonString(),
    }
    return msgspec.json.encode(frame).decode()


async def _nothing_was_missed() -> None:
    pass


async def main(port: int, room_id: str) -> None:
    """Serve until killed."""
    descriptors.provide_for(CONNECTIONS)
    audience = Audience(room_id)
    async with serve(
        audience.welcome if room_id else echo, LOOPBACK, port, max_size=MESSAGE_BYTES, backlog=1024
    ):
        await (audience.listen() if room_id else asyncio.Event().wait())


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), "".join(sys.argv[2:])))
