"""The terminal client and a gateway that behaves as each test wants; the frames go over real sockets."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from scripts.support.chat.backoff import Backoff, announced_pause
from scripts.support.chat.input_lines import InputLines
from scripts.support.chat.session import Session, SessionOver
from scripts.support.chat.talk import Left, Talk
from scripts.support.chat.transcript import Transcript
from shared.config import LOOPBACK

ROOM = "room"
SECONDS = 10.0
NOTHING = r"^$"  # left to be said
Behaviour = Callable[["Gateway", ServerConnection], Awaitable[None]]


class Ticketed(Session):
    """A session that needs no auth server."""

    def __init__(self, url: str) -> None:
        super().__init__("http://nobody")
        self._url = url
        self.refreshes = 0

    async def ticket_url(self) -> str:
        return self._url

    async def refresh(self) -> None:
        self.refreshes += 1


class Gateway:
    """What it has heard, connection by connection, and how each of these has ended."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = iter(behaviours)
        self.heard: list[list[dict[str, Any]]] = []
        self.codes: list[int | None] = []

    async def __call__(self, connection: ServerConnection) -> None:
        self.heard.append([])
        await next(self._behaviours)(self, connection)
        await connection.wait_closed()
        self.codes.append(connection.close_code)

    async def hear(self, connection: ServerConnection) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await connection.recv())
        self.heard[-1].append(frame)
        return frame

    async def subscribe(self, connection: ServerConnection, seq: int = 0) -> None:
        """Answer the first frame."""
        asked = await self.hear(connection)
        assert asked["type"] == "subscribe"
        await _send(connection, "subscribed", id=asked["id"], seq=seq, recovered=True, messages=[])


async def _send(connection: ServerConnection, kind: str, **members: Any) -> None:
    await connection.send(json.dumps({"type": kind, "room": ROOM, **members}))


async def _answers(gateway: Gateway, connection: ServerConnection) -> None:
    """Posts what it is told."""
    await gateway.subscribe(connection)
    async for message in connection:
        post = json.loads(message)
        gateway.heard[-1].append(post)
        await _send(connection, "posted", id=post["id"], seq=1)
        said = {"user_id": "me", "display_name": "Me", "text": post["text"]}
        await _send(connection, "message", seq=1, **said)


def _closes(code: int, reason: str = "") -> Behaviour:
    async def close(gateway: Gateway, connection: ServerConnection) -> None:
        await connection.close(code, reason)

    return close


async def _drains(gateway: Gateway, connection: ServerConnection) -> None:
    """Goes away when it should answer."""
    await gateway.subscribe(connection)
    await gateway.hear(connection)
    await connection.close(1001, '{"reconnect_in_ms":7}')


@asynccontextmanager
async def talking(
    gateway: Gateway, typed: str, **options: Any
) -> AsyncIterator[tuple[Talk, list[str], Ticketed]]:
    """A client who types that and no more; what it shows; its session."""
    reader, writer = os.pipe()
    os.write(writer, typed.encode())
    os.close(writer)
    lines, shown = InputLines(reader), list[str]()
    lines.start()
    async with serve(gateway, LOOPBACK, 0, **options) as server, asyncio.timeout(SECONDS):
        url = f"ws://{LOOPBACK}:{next(iter(server.sockets)).getsockname()[1]}/"
        session = Ticketed(url)
        yield Talk(session, ROOM, Transcript(ROOM, "me", "key", 0), lines, shown.append), shown, session
    lines.stop()
    os.close(reader)


async def test_at_the_end_of_the_input_it_leaves_once_all_is_posted_and_seen() -> None:
    gateway = Gateway(_answers)
    async with talking(gateway, "\nhello\n ") as (talk, shown, _):
        with pytest.raises(Left, match=NOTHING):
            await talk.run()
    assert [frame.get("text") for frame in gateway.heard[0]] == [None, "hello"]
    assert shown == ["[1] Me: hello"]
    assert gateway.codes == [1000]


async def test_a_drained_gateway_says_when_to_come_back_and_the_post_is_sent_again() -> None:
    gateway = Gateway(_drains, _answers)
    async with talking(gateway, "hello\n") as (talk, shown, _):
        with pytest.raises(Left, match=NOTHING):
            await talk.run()
    before, after = (next(frame for frame in heard if frame["type"] == "post") for heard in gateway.heard)
    assert {**before, "id": 0} == {**after, "id": 0}
    assert shown == ["* disconnected (1001); again in 0.0 s, from message 0 on", "[1] Me: hello"]


async def test_an_ended_session_is_refreshed_once_and_then_given_up() -> None:
    gateway = Gateway(_closes(4401), _closes(4401))
    async with talking(gateway, "hello\n") as (talk, _, session):
        with pytest.raises(SessionOver):
            await talk.run()
    assert session.refreshes == 1
    assert len(gateway.heard) == 2


async def test_a_conversation_that_went_on_may_be_renewed_again() -> None:
    async def logs_out(gateway: Gateway, connection: ServerConnection) -> None:
        await gateway.subscribe(connection)
        await gateway.hear(connection)  # the post: it has taken in that it is subscribed
        await connection.close(4401)

    gateway = Gateway(logs_out, logs_out, _answers)
    async with talking(gateway, "hello\n") as (talk, _, session):
        with pytest.raises(Left, match=NOTHING):
            await talk.run()
    assert session.refreshes == 2


async def test_a_handshake_that_will_always_be_refused_ends_it() -> None:
    def refuse(connection: ServerConnection, _: Request) -> Response:
        return connection.respond(HTTPStatus.FORBIDDEN, "")

    async with talking(Gateway(), "hello\n", process_request=refuse) as (talk, _, _):
        with pytest.raises(Left, match="403"):
            await talk.run()


async def test_a_handshake_that_may_succeed_later_is_tried_again() -> None:
    answers = iter([HTTPStatus.UNAUTHORIZED])

    def refuse(connection: ServerConnection, _: Request) -> Response | None:
        status = next(answers, None)
        return None if status is None else connection.respond(status, "")

    async with talking(Gateway(_answers), "hello\n", process_request=refuse) as (talk, shown, _):
        with pytest.raises(Left, match=NOTHING):
            await talk.run()
    assert shown[-1] == "[1] Me: hello"


async def test_whoever_is_cancelled_says_goodbye() -> None:
    async def stays(gateway: Gateway, connection: ServerConnection) -> None:
        await gateway.subscribe(connection)
        await gateway.hear(connection)
        task.cancel()

    gateway = Gateway(stays)
    async with talking(gateway, "hello\n") as (talk, _, _):
        task = asyncio.ensure_future(talk.run())
        with pytest.raises(asyncio.CancelledError):
            await task
    assert gateway.codes == [1000]


# Pauses


def test_pauses_grow_to_a_bound_and_are_never_all_the_same() -> None:
    shortest, longest = Backoff(lambda: 0.0), Backoff(lambda: 1.0)
    assert [shortest.next() for _ in range(8)] == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert [longest.next() for _ in range(8)] == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 20.0, 20.0]
    shortest.reset()
    assert shortest.next(least=7.0) == 7.25


@pytest.mark.parametrize(
    ("code", "reason", "seconds"),
    [
        (1001, '{"reconnect_in_ms":2731}', 2.731),
        (1001, "", None),
        (1001, "[]", None),
        (1001, '{"reconnect_in_ms":"soon"}', None),
        (1001, '{"reconnect_in_ms":-1}', None),
        (1001, '{"reconnect_in_ms":86400000}', None),
        (1008, '{"reconnect_in_ms":2731}', None),
    ],
)
def test_the_pause_that_a_gateway_announces(code: int, reason: str, seconds: float | None) -> None:
    assert announced_pause(code, reason) == seconds


# What is typed


async def _all(lines: InputLines) -> list[str]:
    found = []
    lines.start()
    async with asyncio.timeout(SECONDS):
        while (line := await lines.next()) is not None:
            found.append(line)
        assert await lines.next() is None
    return found


TYPED = "eins\n\n둘\nthree".encode()


async def test_lines_of_a_pipe_whatever_pieces_they_come_in() -> None:
    reader, writer = os.pipe()
    reading = asyncio.ensure_future(_all(InputLines(reader)))
    for index in range(len(TYPED)):
        os.write(writer, TYPED[index : index + 1])
        await asyncio.sleep(0)
    os.close(writer)
    assert await reading == ["eins", "", "둘", "three"]
    os.close(reader)


@pytest.mark.parametrize(
    ("content", "lines"), [(TYPED, ["eins", "", "둘", "three"]), (b"", []), (b"\xff\n", ["�"])]
)
async def test_lines_of_a_file(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "typed").write_bytes(content)
    descriptor = os.open(tmp_path / "typed", os.O_RDONLY)
    assert await _all(InputLines(descriptor)) == lines
    os.close(descriptor)


async def test_nothing_at_all_has_no_lines() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    assert await _all(InputLines(descriptor)) == []
    os.close(descriptor)
