"""The tools' WebSocket client against the server of the `websockets` library, which was written by others."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.http11 import Request, Response

from scripts.support.websocket_client import HandshakeRefused, SocketClosed, connect
from shared.config import LOOPBACK

Handler = Callable[[ServerConnection], Awaitable[None]]
SECONDS = 10.0


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server."""
    async with serve(handler, LOOPBACK, 0) as server, asyncio.timeout(SECONDS):
        yield _url(server)


def _url(server: Server) -> str:
    return f"ws://{LOOPBACK}:{next(iter(server.sockets)).getsockname()[1]}/a/path?with=query"


async def _echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


@pytest.mark.parametrize("compress", [True, False])
async def test_what_is_sent_comes_back(compress: bool) -> None:
    messages = ["", "hello", "안녕 \N{TEACUP WITHOUT HANDLE}", "long " * 100_000]
    async with serving(_echo) as url, connect(url, compress=compress) as socket:
        for message in messages:
            await socket.send(message)
            assert await socket.receive() == message


@pytest.mark.parametrize("compress", [True, False])
async def test_compression_can_be_turned_off(compress: bool) -> None:
    async def tell(connection: ServerConnection) -> None:
        agreed = any(isinstance(each, PerMessageDeflate) for each in connection.protocol.extensions)
        await connection.send(str(agreed))

    async with serving(tell) as url, connect(url, compress=compress) as socket:
        assert await socket.receive() == str(compress)


async def test_the_server_hears_of_path_origin_and_headers() -> None:
    async def tell(connection: ServerConnection) -> None:
        assert connection.request is not None
        path, fields = connection.request.path, connection.request.headers
        await connection.send(f"{path} {fields['Origin']} {fields['X-Mine']}")

    async with (
        serving(tell) as url,
        connect(url, origin="https://a.example", headers=[("X-Mine", "yes")]) as socket,
    ):
        assert await socket.receive() == "/a/path?with=query https://a.example yes"


@pytest.mark.parametrize("compress", [True, False])
async def test_a_message_in_pieces_is_one_and_a_ping_between_them_is_answered(compress: bool) -> None:
    async def in_pieces(connection: ServerConnection) -> None:
        async def pieces() -> AsyncIterator[str]:
            yield "one "
            await (await connection.ping())  # until the pong is there
            yield "two"

        await connection.send(pieces())

    async with serving(in_pieces) as url, connect(url, compress=compress) as socket:
        assert await socket.receive() == "one two"


async def test_the_servers_goodbye_comes_after_its_messages() -> None:
    async def leave(connection: ServerConnection) -> None:
        await connection.send("last words")
        await connection.close(4401, "gone")

    async with serving(leave) as url, connect(url) as socket:
        assert await socket.receive() == "last words"
        for _ in range(2):
            with pytest.raises(SocketClosed) as closed:
                await socket.receive()
            assert (closed.value.code, closed.value.reason) == (4401, "gone")
        with pytest.raises(SocketClosed, match="4401 gone"):
            await socket.send("too late")


async def test_our_goodbye_reaches_the_server_and_messages_on_their_way_do_not_hinder_it() -> None:
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def talk_on(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await connection.send("and another thing")
                await asyncio.sleep(0)  # the client's turn
        ended.set_result(connection.close_code)

    async with serving(talk_on) as url:
        async with connect(url) as socket:
            await socket.receive()
        assert await ended == 1000


async def test_a_ping_that_comes_after_our_goodbye_is_not_answered() -> None:
    ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()

    async def ask(connection: ServerConnection) -> None:
        await connection.ping()
        await connection.wait_closed()
        ended.set_result(connection.close_code)

    async with serving(ask) as url:
        async with connect(url):
            pass  # the ping is read while the server's goodbye is waited for
        assert await ended == 1000


async def test_a_lost_connection_is_1006() -> None:
    async def die(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with serving(die) as url, connect(url) as socket:
        with pytest.raises(SocketClosed, match="1006"):
            await socket.receive()


async def test_waiting_can_be_given_up_without_losing_anything() -> None:
    async with serving(_echo) as url, connect(url) as socket:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.receive(), 0.01)
        await socket.send("still there")
        assert await socket.receive() == "still there"


async def test_bytes_are_refused_with_1003() -> None:
    async def send_bytes(connection: ServerConnection) -> None:
        await connection.send(b"\x00")
        await connection.wait_closed()
        codes.append(connection.close_code)

    codes: list[int | None] = []
    async with serving(send_bytes) as url, connect(url) as socket:
        with pytest.raises(SocketClosed, match="1003"):
            await socket.receive()
    assert codes == [1003]


def _refusing(body: bytes, fields: Iterable[tuple[str, str]]) -> "Callable[..., Response]":
    def refuse(connection: ServerConnection, _: Request) -> Response:
        response = connection.respond(HTTPStatus.UNAUTHORIZED, "")
        response.body = body
        del response.headers["Content-Type"], response.headers["Content-Length"]
        response.headers.update([*fields, ("Content-Length", str(len(body)))])
        return response

    return refuse


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b'{"type":"urn:plainstack:problem:unauthenticated","detail":"No such ticket."}', "No such ticket."),
        (b"go away", ""),
        (b"[]", ""),
        (b"", ""),
    ],
)
async def test_a_refused_handshake_says_why(body: bytes, detail: str) -> None:
    refuse = _refusing(body, [("Retry-After", "7")])
    async with serve(_echo, LOOPBACK, 0, process_request=refuse) as server, asyncio.timeout(SECONDS):
        with pytest.raises(HandshakeRefused) as refused:
            async with connect(_url(server)):
                pass
    assert (refused.value.status, refused.value.detail) == (401, detail)
    assert refused.value.headers["retry-after"] == "7"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"", 1006),
        (b"HTTP/1.1 101 Switching", 1006),
        (b"once upon a time\r\n\r\n", 1002),
        (
            b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            1002,
        ),
    ],
)
async def test_what_is_no_handshake_is_refused(answer: bytes, code: int) -> None:
    async def mislead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(mislead, LOOPBACK, 0) as server, asyncio.timeout(SECONDS):
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(SocketClosed) as closed:
            async with connect(f"ws://{LOOPBACK}:{port}"):
                pass
    assert closed.value.code == code


async def test_nobody_at_home() -> None:
    async with serving(_echo) as url:
        pass
    with pytest.raises(OSError):  # noqa: PT011 - whichever it is here
        async with connect(url):
            pass
