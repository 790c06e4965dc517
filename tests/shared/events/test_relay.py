"""The relay against a bus that does what the test wants; real ones are tried in tests/contracts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import cast

import pytest

from shared.config import Secret
from shared.db.database import Database
from shared.db.statements import every, execute
from shared.errors import Unavailable
from shared.events import relay as relay_module
from shared.events.bus import Bus, Message
from shared.events.outbox import Outbox, Report
from shared.events.relay import Relay
from shared.tasks import background
from tests.services.databases import opened
from tests.shared.events.samples import created
from tests.waiting import eventually

Lead = Callable[[], AbstractAsyncContextManager[object]]
UNPUBLISHED = "SELECT key FROM outbox WHERE published_at IS NULL ORDER BY position"


class FaultyBus:
    """Takes everything, unless it is told to fail."""

    def __init__(self) -> None:
        self.keys: list[str] = []
        self.publishers = 0
        self.send_faults = 0
        self.confirms = asyncio.Event()
        self.confirms.set()
        self.confirm_faults = 0
        self.takes_nothing = False

    @asynccontextmanager
    async def publisher(self, topics: Sequence[str]) -> AsyncIterator["FaultyBus"]:
        assert topics == ["product"]
        self.publishers += 1
        yield self

    async def send(self, messages: Sequence[Message]) -> None:
        if self.send_faults:
            self.send_faults -= 1
            self.keys += [each.key for each in messages[: len(messages) // 2]]
            raise Unavailable("The bus is away.")
        self.keys += [each.key for each in messages]

    async def confirm(self) -> None:
        await self.confirms.wait()
        if self.confirm_faults:
            self.confirm_faults -= 1
            raise Unavailable("The bus is away.")

    async def tidy(self) -> None:
        if self.takes_nothing:
            raise Unavailable("The disk is full.")


@pytest.fixture
def bus() -> FaultyBus:
    return FaultyBus()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, "product")


@pytest.fixture
def lead(database: Database, bus: FaultyBus) -> Lead:
    return lambda: background(Relay(database, cast(Bus, bus), "product").run(), "relay")


async def add(outbox: Outbox, *keys: str) -> None:
    await outbox.add([Report(key, created()) for key in keys])


async def is_all_published(database: Database) -> bool:
    return await every(database, UNPUBLISHED) == []


async def test_what_is_committed_is_published_in_order(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead
) -> None:
    await add(outbox, "a", "b")
    async with lead():
        await eventually(lambda: bus.keys == ["a", "b"])
        await add(outbox, "c")
        await eventually(lambda: bus.keys == ["a", "b", "c"], relay_module.LOOK_SECONDS / 2)  # woken
        await eventually(lambda: is_all_published(database))


async def test_an_earlier_position_may_be_committed_later(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead
) -> None:
    has_added, may_commit = asyncio.Event(), asyncio.Event()

    async def dawdle() -> None:
        async with database.transaction():
            await add(outbox, "late")
            has_added.set()
            await may_commit.wait()

    async with lead(), background(dawdle(), "dawdler"):
        await has_added.wait()
        await add(outbox, "early")
        await eventually(lambda: bus.keys == ["early"])
        may_commit.set()
        await eventually(lambda: bus.keys == ["early", "late"])


async def test_after_a_failed_send_all_begins_at_the_lowest(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead
) -> None:
    bus.send_faults = 1
    await add(outbox, "a", "b", "c", "d")
    async with lead():
        await eventually(lambda: is_all_published(database))
    assert bus.keys == ["a", "b", "a", "b", "c", "d"]
    assert bus.publishers == 2


async def test_what_is_not_confirmed_is_not_published(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead
) -> None:
    bus.confirms.clear()
    bus.confirm_faults = 1
    async with lead():
        await add(outbox, "a")
        await eventually(lambda: bus.keys == ["a"])
        await add(outbox, "b")  # goes on meanwhile, and nothing goes twice
        await eventually(lambda: bus.keys == ["a", "b"])
        assert await every(database, UNPUBLISHED) == [("a",), ("b",)]
        bus.confirms.set()
        await eventually(lambda: is_all_published(database))
    assert bus.keys == ["a", "b", "a", "b"]


async def test_a_bus_that_takes_nothing_fills_no_log(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bus.takes_nothing = True
    async with lead():
        await eventually(lambda: bus.publishers >= 3)
        assert [each.message for each in caplog.records] == ["events are not published"]
        bus.takes_nothing = False
        await add(outbox, "a")
        await eventually(lambda: is_all_published(database))
    assert [each.message for each in caplog.records][-1] == "events are published again"


async def test_no_more_is_sent_than_may_have_to_be_sent_again(
    database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "BATCH", 2)
    monkeypatch.setattr(relay_module, "MOST_UNCONFIRMED", 4)
    bus.confirms.clear()
    await add(outbox, *"abcdefgh")
    async with lead():
        await eventually(lambda: bus.keys == list("abcd"))
        bus.confirms.set()
        await eventually(lambda: is_all_published(database))
    assert bus.keys == list("abcdefgh")


async def test_one_leads_and_another_takes_over(
    url: Secret, event_tables: Path, database: Database, outbox: Outbox, bus: FaultyBus, lead: Lead
) -> None:
    other_bus = FaultyBus()
    async with opened(url, event_tables) as other_database:
        other = Relay(other_database, cast(Bus, other_bus), "product")
        async with lead():
            await add(outbox, "a")
            await eventually(lambda: is_all_published(database))
            async with background(other.run(), "other"):
                await add(outbox, "b")
                await eventually(lambda: is_all_published(database))
                assert (bus.keys, other_bus.keys) == (["a", "b"], [])
                await execute(  # as the server does when the leader's host is gone
                    database,
                    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND granted "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                )
                bus.send_faults = 10**6  # should it win again
                await add(outbox, "c")
                await eventually(lambda: other_bus.keys == ["c"])
                await eventually(lambda: is_all_published(database))
