"""WebSockets for the demo, which does one thing after the other: each frame is printed, surprises raised."""

import asyncio
import json
import textwrap
from collections.abc import Coroutine, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, TypeVar

from scripts.support.conversation import Conversation, Surprise, require
from scripts.support.websocket_client import HandshakeRefused, Socket, SocketClosed, connect

T = TypeVar("T")
Frame = Mapping[str, Any]

ANSWER_SECONDS = 10.0
WIDTH = 108


class Sockets:
    """The sockets of a demo. Their event loop runs only while one of them is waited for; meanwhile nobody
    answers the gateway's pings, so no scene may be long.
    """

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()

    def open(self, who: str, gateway: Conversation, token: str) -> "DemoSocket":
        """A ticket for whoever has `token`, and a socket for the ticket."""
        return self.connect(who, gateway.expect(201, "POST", "/ws/tickets", token=token).member("url"))

    def connect(self, who: str, url: str) -> "DemoSocket":
        """Surprise when that is refused."""
        try:
            return DemoSocket(self, who, self.wait(self._open.enter_async_context(connect(url))))
        except (HandshakeRefused, SocketClosed, OSError) as failure:
            raise Surprise(f"{who} cannot get to the WebSocket gateway: {failure}") from failure

    def expect_refusal(self, url: str) -> int:
        """The status that a handshake is refused with; Surprise when it is not."""
        try:
            self.wait(self._open.enter_async_context(connect(url)))
        except HandshakeRefused as refused:
            print(f"   ← {refused}\n", flush=True)
            return refused.status
        raise Surprise("the WebSocket gateway accepts what it must refuse")

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of `work`."""
        return self._runner.run(work)

    def __enter__(self) -> "Sockets":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, failure: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait(self._open.aclose())
        self._runner.close()


class DemoSocket:
    """One socket, and what has come and not been asked for yet."""

    def __init__(self, sockets: Sockets, who: str, socket: Socket) -> None:
        self._sockets = sockets
        self._who = who
        self._socket = socket
        self._frames = 0
        self._heard: list[Frame] = []

    def ask(self, kind: str, answer: str, **members: object) -> Frame:
        """Send a frame of `kind`; the `answer` to it. Surprise when there is another, or none."""
        self._frames += 1
        frame = {"id": self._frames, "type": kind, **members}
        _print(f"{self._who} → ", frame)
        self._wait(self._socket.send(json.dumps(frame)))
        answered = self.hear(answer)
        require(answered["id"] == self._frames, "an answer has the number of its question")
        return answered

    def hear(self, kind: str) -> Frame:
        """The next frame of that kind; others are kept until they are asked for. Surprise when none comes."""
        while True:
            for index, frame in enumerate(self._heard):
                if frame["type"] == kind:
                    return self._heard.pop(index)
            self._heard.append(self._receive())

    def until_closed(self) -> SocketClosed:
        """How the gateway has closed it; Surprise when it has not. Frames that still come are printed."""
        while True:
            try:
                message = self._sockets.wait(asyncio.wait_for(self._socket.receive(), ANSWER_SECONDS))
            except SocketClosed as closed:
                return closed
            except TimeoutError:
                raise Surprise(f"{self._who}'s socket is still open") from None
            _print(f"{self._who} ← ", json.loads(message))

    def hang_up(self) -> None:
        """Close it from our side."""
        print(f"   {self._who} hangs up\n", flush=True)
        self._sockets.wait(self._socket.close())

    def _receive(self) -> Frame:
        frame: Frame = json.loads(self._wait(self._socket.receive()))
        _print(f"{self._who} ← ", frame)
        require(frame["type"] != "error", "nothing was wrong with that")
        return frame

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            return self._sockets.wait(asyncio.wait_for(work, ANSWER_SECONDS))
        except SocketClosed as closed:
            raise Surprise(f"{self._who}'s socket was closed: {closed}") from closed
        except TimeoutError:
            raise Surprise(f"nothing has come on {self._who}'s socket for {ANSWER_SECONDS:g} s") from None


def _print(lead: str, frame: Frame) -> None:
    indent = " " * (3 + len(lead))
    text = json.dumps(frame, ensure_ascii=False)
    wrapped = textwrap.fill(
        text, WIDTH, initial_indent=f"   {lead}", subsequent_indent=indent, break_on_hyphens=False
    )
    print(f"{wrapped}\n", flush=True)
