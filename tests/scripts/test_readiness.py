"""What a launcher reads in /readyz, as our own processes answer it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from scripts.support import readiness as readiness_of_parts
from scripts.support.parts import Part
from scripts.support.readiness import Obstacle, why_not_ready
from scripts.support.records import Records
from shared.config import Address
from shared.http.operations import operations_routes
from shared.http.routing import Router
from shared.http.server import serve
from shared.runtime import NeedsOperator, Readiness


class Process:
    """A process that answers /readyz, and how it looks from outside."""

    def __init__(self, readiness: Readiness, part: Part) -> None:
        self.readiness = readiness
        self._part = part

    async def obstacle(self) -> Obstacle | None:
        return await asyncio.to_thread(why_not_ready, self._part)


@pytest.fixture
async def process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Process]:
    monkeypatch.setattr(readiness_of_parts, "ANSWER_SECONDS", 10.0)  # a slow machine is no obstacle
    readiness = Readiness()
    async with serve(Router(operations_routes(readiness)), "127.0.0.1", 0) as server:
        part = Part("any", {"any": Address("127.0.0.1", server.port)}, Records(tmp_path))
        yield Process(readiness, part)


async def starts() -> None:
    raise RuntimeError("starts")


async def is_wrong() -> None:
    raise NeedsOperator("wrong password")


async def test_nothing_stands_in_the_way_of_a_ready_process(process: Process) -> None:
    assert await process.obstacle() is None


async def test_what_may_pass_is_told_with_its_name(process: Process) -> None:
    process.readiness.require("database", starts)
    process.readiness.require("store", starts)
    assert await process.obstacle() == Obstacle("database: starts; store: starts")


async def test_what_lasts_is_told_alone(process: Process) -> None:
    process.readiness.require("database", starts)
    process.readiness.require("store", is_wrong)
    assert await process.obstacle() == Obstacle("store: wrong password", lasts=True)


async def test_nobody_there_and_somebody_else_are_obstacles_that_may_pass(tmp_path: Path) -> None:
    async with serve(Router([]), "127.0.0.1", 0) as server:  # answers 404
        part = Part("any", {"any": Address("127.0.0.1", server.port)}, Records(tmp_path))
        stranger = await asyncio.to_thread(why_not_ready, part)
    nobody = await asyncio.to_thread(why_not_ready, part)
    assert stranger is not None
    assert nobody is not None
    assert (str(stranger)[:3], stranger.lasts) == ("404", False)
    assert ("refused" in str(nobody), nobody.lasts) == (True, False)


async def test_whoever_speaks_no_http_is_an_obstacle(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        part = Part("any", {"any": Address(*listening.getsockname())}, Records(tmp_path))
        asking = asyncio.create_task(asyncio.to_thread(why_not_ready, part))
        connection, _ = await asyncio.to_thread(listening.accept)
        connection.recv(1_000)
        connection.sendall(b"hello")
        connection.close()
        assert await asking == Obstacle("what answers there speaks no HTTP")
