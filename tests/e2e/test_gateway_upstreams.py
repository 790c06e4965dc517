"""The gateway as a process of its own between clients that write bytes and upstreams that play a script."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.e2e.lone_gateway import LoneGateway
from tests.shared.http.raw import Play, RawClient, connected, scripted_server

PUBLIC = '[[route]]\nprefix = "/"\nupstream = "any"\nauth = "none"\n'
IMPATIENT = PUBLIC + "timeouts = { head_seconds = 0.3 }\n"
LEAVING_SECONDS = 10.0  # less than any timeout: it is because the client has left
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@asynccontextmanager
async def through(folder: Path, play: Play, routes: str = PUBLIC) -> AsyncIterator[RawClient]:
    """A client at a gateway before a scripted upstream."""
    async with scripted_server(play) as origin:
        gateway = LoneGateway(folder, routes, origin)
        try:
            async with connected(gateway.port) as client:
                yield client
        finally:
            gateway.close()


# Interim answers


async def test_an_interim_answer_comes_before_the_final_one(tmp_path: Path) -> None:
    has_hint = asyncio.Event()

    async def play(upstream: RawClient) -> None:
        await upstream.read_head()
        upstream.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        await has_hint.wait()
        upstream.send(OK)

    async with through(tmp_path, play) as client:
        client.send(GET)
        assert await client.read_head() == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
        has_hint.set()
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 OK\r\n")
        assert await client.read_exactly(2) == b"ok"


async def test_the_upstream_invites_the_body_that_waits_for_it(tmp_path: Path) -> None:
    async def play(upstream: RawClient) -> None:
        assert b"Expect: 100-continue\r\n" in await upstream.read_head()
        upstream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await upstream.read_exactly(5) == b"hello"
        upstream.send(OK)

    async with through(tmp_path, play) as client:
        client.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert await client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"hello")
        assert (await client.read_head()).startswith(b"HTTP/1.1 200 OK\r\n")


# Upstreams that fail


async def talks_nonsense(upstream: RawClient) -> None:
    await upstream.read_head()
    upstream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk")


async def says_nothing(upstream: RawClient) -> None:
    await upstream.read_to_end()


@pytest.mark.parametrize(
    ("play", "routes", "status"), [(talks_nonsense, PUBLIC, 502), (says_nothing, IMPATIENT, 504)]
)
async def test_an_upstream_that_fails_is_a_problem_with_the_id_of_the_request(
    tmp_path: Path, play: Play, routes: str, status: int
) -> None:
    async with through(tmp_path, play, routes) as client:
        client.send(GET)
        head, *lines = (await client.read_head()).decode().split("\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        problem = json.loads(await client.read_exactly(int(fields["content-length"])))
    assert (int(head.split()[1]), problem["status"]) == (status, status)
    assert fields["content-type"] == "application/problem+json"
    assert problem["instance"].endswith(fields["x-request-id"])


# Clients that leave


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GET, b""),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf", b""),
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"),
    ],
    ids=["waiting", "sending", "receiving"],
)
async def test_an_upstream_sees_that_the_client_has_left(
    tmp_path: Path, request_: bytes, answer: bytes
) -> None:
    arrived, left = asyncio.Event(), asyncio.Event()

    async def play(upstream: RawClient) -> None:
        await upstream.read_head()
        upstream.send(answer)
        arrived.set()
        try:
            await upstream.read_to_end()
        finally:
            left.set()

    async with through(tmp_path, play) as client:
        client.send(request_)
        await asyncio.wait_for(arrived.wait(), 20)
        if answer:
            await client.read_head()
            await client.read_exactly(4)
        client.writer.close()
        await asyncio.wait_for(left.wait(), LEAVING_SECONDS)
