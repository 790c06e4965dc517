import asyncio
from collections import Counter
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import psycopg
import pytest

from shared.config import Secret
from shared.db.database import Database
from shared.errors import Unavailable
from shared.events import ownership
from shared.events.ownership import DatabaseOwnership, Work
from shared.tasks import background, cancel
from tests.waiting import eventually

PARTITIONS = tuple(f"partition-{number}" for number in range(8))
PATIENCE_SECONDS = 20.0

_END_MEMBERS = """
    SELECT pg_terminate_backend(pid) FROM pg_locks
    WHERE locktype = 'advisory' AND mode = 'ShareLock'
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


class Owners:
    """Who works at what, as all processes together see it. Nobody may work where another does."""

    def __init__(self, leaving_seconds: float = 0.0) -> None:
        self.at: dict[str, str] = {}
        self.clashes: list[str] = []
        self._leaving_seconds = leaving_seconds  # how long it takes to let go

    def work_of(self, process: str) -> Work:
        """The work of `process`, which never ends by itself."""

        async def work(partition: str) -> None:
            if partition in self.at:
                self.clashes.append(f"{partition}: {self.at[partition]}, {process}")
            self.at[partition] = process
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(self._leaving_seconds)
                del self.at[partition]

        return work

    async def until(self, **shares: int) -> None:
        """Wait until each process has so many partitions."""
        await eventually(lambda: Counter(self.at.values()) == shares, PATIENCE_SECONDS)
        assert not self.clashes


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership, "LOOK_SECONDS", 0.1)


def sharing(database: Database, work: Work, name: str = "name") -> Coroutine[Any, Any, None]:
    return DatabaseOwnership(database).share(name, PARTITIONS, work)


def process(database: Database, owners: Owners, name: str) -> AbstractAsyncContextManager[asyncio.Task[None]]:
    return background(sharing(database, owners.work_of(name)), name)


async def test_processes_that_come_and_go_have_equal_shares(database: Database) -> None:
    owners = Owners()
    async with process(database, owners, "a"):
        await owners.until(a=8)
        async with process(database, owners, "b"):
            await owners.until(a=4, b=4)
            async with process(database, owners, "c"):
                await eventually(lambda: _spread(owners) == [2, 3, 3], PATIENCE_SECONDS)
            await owners.until(a=4, b=4)
        await owners.until(a=8)
    await owners.until()


def _spread(owners: Owners) -> list[int]:
    return sorted(Counter(owners.at.values()).values())


async def test_a_process_too_many_waits_for_its_turn(database: Database) -> None:
    owners = Owners()

    def sharing_one(name: str) -> AbstractAsyncContextManager[asyncio.Task[None]]:
        work = owners.work_of(name)
        return background(DatabaseOwnership(database).share("name", ["only"], work), name)

    async with sharing_one("a") as first:
        await owners.until(a=1)
        async with sharing_one("b"):
            await cancel(first)
            await owners.until(b=1)


async def test_a_partition_goes_to_another_only_when_the_work_has_left_it(database: Database) -> None:
    owners = Owners(leaving_seconds=0.3)
    async with process(database, owners, "a"):
        await owners.until(a=8)
        async with process(database, owners, "b"):
            await owners.until(a=4, b=4)
    await owners.until()


async def test_other_names_are_other_locks(database: Database) -> None:
    one, other = Owners(), Owners()
    async with (
        background(sharing(database, one.work_of("a"), "one"), "a"),
        background(sharing(database, other.work_of("b"), "other"), "b"),
    ):
        await one.until(a=8)
        await other.until(b=8)


async def test_who_loses_the_session_stops_everything_and_says_so(database: Database, url: Secret) -> None:
    owners = Owners(leaving_seconds=0.05)
    task = asyncio.create_task(sharing(database, owners.work_of("a")))
    await owners.until(a=8)
    await asyncio.to_thread(_end_the_session, url)
    with pytest.raises(Unavailable):
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert owners.at == {}


def _end_the_session(url: Secret) -> None:
    with psycopg.connect(url.value) as connection:
        connection.execute(_END_MEMBERS)


@pytest.mark.parametrize("failure", [Unavailable("away"), ValueError("wrong")], ids=repr)
async def test_what_a_work_raises_ends_all_of_it(database: Database, failure: Exception) -> None:
    owners, has_all = Owners(leaving_seconds=0.05), asyncio.Event()

    async def work(partition: str) -> None:
        if partition == PARTITIONS[5]:
            await has_all.wait()
            raise failure
        await owners.work_of("a")(partition)

    task = asyncio.create_task(sharing(database, work))
    await owners.until(a=7)
    has_all.set()
    with pytest.raises(type(failure)) as raised:
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert raised.value is failure
    assert owners.at == {}
    async with process(database, owners, "b"):  # the locks are free again
        await owners.until(b=8)
