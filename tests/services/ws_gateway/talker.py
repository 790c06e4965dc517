"""A client of the WebSocket gateway: it knocks, and once it is let in, it talks in JSON."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shared.http.messages import Headers
from tests.shared.websocket.peer import CLOSE, TEXT, Peer, close_frame, frame, handshake_head


@dataclass
class Talker:
    """A connection, and how it was answered."""

    peer: Peer
    status: int
    headers: Headers
    problem: dict[str, Any]  # what a refusal says

    @property
    def code(self) -> str:
        """What the problem's type ends with."""
        code: str = self.problem["type"].rpartition(":")[2]
        return code

    def say(self, **members: Any) -> None:
        """One frame."""
        self.say_text(json.dumps(members))

    def say_text(self, text: str) -> None:
        """One frame that need not be JSON."""
        self.peer.send(frame(TEXT, text.encode()))

    async def hear(self, *kinds: str) -> dict[str, Any]:
        """The next frame, of one of these types if any are named."""
        while True:
            got = await self.peer.read()
            assert got.opcode == TEXT, got
            said: dict[str, Any] = json.loads(got.payload)
            if not kinds or said["type"] in kinds:
                return said

    async def ask(self, kind: str, room: str, **members: Any) -> dict[str, Any]:
        """The answer to a request, or to one before."""
        self.say(type=kind, room=room, **members)
        return await self.hear("subscribed", "unsubscribed", "posted", "error")

    async def hear_the_end(self) -> tuple[int, str]:
        """Code and reason of the server's close frame, whatever comes before it. It is answered."""
        while (got := await self.peer.read()).opcode != CLOSE:
            pass
        self.peer.send(close_frame(got.code))
        assert await self.peer.read_to_end() == []
        self.peer.writer.close()
        return got.code, got.reason

    async def say_goodbye(self) -> None:
        """Close, and wait for the server's half."""
        self.peer.send(close_frame())
        assert [got.code for got in await self.peer.read_to_end() if got.opcode == CLOSE] == [1000]


@asynccontextmanager
async def knocking(port: int, path: str, *fields: tuple[str, str]) -> AsyncIterator[Talker]:
    """A good handshake with `fields` besides, and its answer."""
    async with asking(port, handshake_head(*fields, path=path)) as talker:
        yield talker


@asynccontextmanager
async def asking(port: int, head: bytes) -> AsyncIterator[Talker]:
    """Any head, and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    try:
        peer = Peer(reader, writer)
        peer.send(head)
        status_line, *lines = (await peer.read_head()).decode().removesuffix("\r\n\r\n").split("\r\n")
        parted = (line.partition(":") for line in lines)
        headers = Headers([(name, value.strip()) for name, _, value in parted])
        length = int(headers.get("content-length") or 0)
        problem = json.loads(await reader.readexactly(length)) if length else {}
        yield Talker(peer, int(status_line.split()[1]), headers, problem)
    finally:
        writer.transport.abort()
