"""The gateway as a process of its own under clients that send very much of very little, or never finish."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.lone_gateway import LoneGateway
from tests.shared.http.raw import RawClient, connected, scripted_server
from tests.waiting import eventually

ROUTES = """
[[route]]
prefix = "/"
upstream = "any"
auth = "none"

[[route]]
prefix = "/letters"
upstream = "any"
auth = "none"
body_limit = 1000
buffer_body = true
"""
ANSWER_SECONDS = 2.0  # whatever others do
FLOOD_SECONDS = 60.0

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LETTER = b"POST /letters HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


async def say_ok(upstream: RawClient) -> None:
    """Reads requests with bodies of five bytes, in chunks or without, and is content with all of them."""
    while True:
        head = await upstream.read_head()
        if b"Content-Length: 5\r\n" in head:
            await upstream.read_exactly(5)
        elif b"chunked" in head:
            await read_chunks(upstream)
        upstream.send(OK)


async def read_chunks(upstream: RawClient) -> None:
    end = b""
    while not end.endswith(b"0\r\n\r\n"):
        piece = await upstream.reader.read(65_536)
        assert piece, "the body has no end"
        end = (end + piece)[-5:]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[LoneGateway]:
    async with scripted_server(say_ok) as origin:
        started = LoneGateway(tmp_path, ROUTES, origin)
        yield started
        started.close()


# Floods


@dataclass(frozen=True)
class Flood:
    """What is sent at once, and how many answers with which status it is worth."""

    data: bytes
    answers: int
    status: int


REQUESTS, CHUNKS = 5_000, 150_000
EMPTY_LINES = Flood(b"\r\n" * 500_000, 1, 400)
PIPELINED = Flood(
    GET * (REQUESTS - 1) + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), REQUESTS, 200
)
SMALL_CHUNKS = Flood(
    b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"1\r\nx\r\n" * CHUNKS
    + b"0\r\n\r\n",
    1,
    200,
)


async def answers_to(flood: Flood, port: int) -> int:
    """How many answers of the expected status come back until the gateway closes the connection."""
    received = bytearray()
    async with connected(port) as client, asyncio.timeout(FLOOD_SECONDS):
        client.send(flood.data)
        try:
            while piece := await client.reader.read(65_536):
                received += piece
        except ConnectionResetError:
            pass  # closed with some of the flood unread
    return received.count(b"HTTP/1.1 %d " % flood.status)


async def seconds_for_an_answer(port: int) -> float:
    started = time.monotonic()
    async with connected(port) as client:
        client.send(GET)
        async with asyncio.timeout(FLOOD_SECONDS):
            assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
    return time.monotonic() - started


async def test_floods_leave_room_for_others(gateway: LoneGateway) -> None:
    floods = (EMPTY_LINES, PIPELINED, SMALL_CHUNKS)
    waits = []
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(answers_to(flood, gateway.port)) for flood in floods]
        while not all(task.done() for task in running):
            waits.append(await seconds_for_an_answer(gateway.port))
    slow = [wait for wait in waits if wait > ANSWER_SECONDS]
    assert len(slow) <= 2 < len(waits)  # a gateway that serves only floods has few waits, and all are long
    assert [task.result() for task in running] == [flood.answers for flood in floods]


# Bodies that never end

UNFINISHED = 150  # more than an upstream's connections


async def test_unfinished_bodies_hold_none_of_the_upstreams_connections(gateway: LoneGateway) -> None:
    clients = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(UNFINISHED)]
    try:
        for _, writer in clients:
            writer.write(LETTER + b"half")
        in_flight = f"in_flight {UNFINISHED}.0".encode()
        await eventually(lambda: in_flight in gateway.admin.get("/metrics").body)
        async with connected(gateway.port) as client:
            client.send(LETTER + b"whole")
            assert (await client.read_head()).startswith(b"HTTP/1.1 200 ")
    finally:
        for _, writer in clients:
            writer.transport.abort()
