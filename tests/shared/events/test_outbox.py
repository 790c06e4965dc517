import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from shared import context
from shared.context import Trace
from shared.db.database import Database
from shared.db.statements import every, execute
from shared.events.envelope import decode
from shared.events.outbox import CHANNEL, MOST_BYTES, Outbox, Report
from tests.shared.events.samples import archived, created
from tests.waiting import eventually

ROWS = "SELECT key, type, value FROM outbox ORDER BY position"
PUBLISH = "UPDATE outbox SET published_at = clock_timestamp() - %s"


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database, "product")


class Boom(Exception): ...


async def test_events_are_written_with_the_state(database: Database, outbox: Outbox) -> None:
    async with database.transaction():
        await execute(database, "INSERT INTO effects (subject, version) VALUES ('milk', 1)")
        await outbox.add([Report("milk", created()), Report("milk", archived())])
    rows = await every(database, ROWS)
    assert [row[:2] for row in rows] == [
        ("milk", "shop.product.v1.ProductCreated"),
        ("milk", "shop.product.v1.ProductArchived"),
    ]
    assert {decode(row[2]).source for row in rows} == {"/product"}


async def test_what_is_rolled_back_is_never_told(database: Database, outbox: Outbox) -> None:
    async def fail() -> None:
        async with database.transaction():
            await outbox.add([Report("milk", created())])
            raise Boom

    with pytest.raises(Boom):
        await fail()
    assert await outbox.waiting() == (0, 0.0)


async def test_an_event_belongs_to_the_trace_of_what_caused_it(database: Database, outbox: Outbox) -> None:
    trace = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
    token = context.trace.set(trace)
    try:
        await outbox.add([Report("milk", created())])
    finally:
        context.trace.reset(token)
    [(_, _, value)] = await every(database, ROWS)
    assert decode(value).traceparent == trace.traceparent


async def test_no_report_is_no_statement(outbox: Outbox) -> None:
    await outbox.add([])
    assert await outbox.waiting() == (0, 0.0)


async def test_what_no_bus_takes_is_refused_at_once(outbox: Outbox) -> None:
    with pytest.raises(ValueError, match=r"shop\.product\.v1\.ProductCreated"):
        await outbox.add([Report("milk", created("x" * MOST_BYTES))])
    assert await outbox.waiting() == (0, 0.0)


async def test_the_bell_rings_after_the_commit(database: Database, outbox: Outbox) -> None:
    async with database.session() as session:
        await session.execute(f"LISTEN {CHANNEL}".encode())
        async with database.transaction():
            await outbox.add([Report("milk", created())])
            assert [_ async for _ in session.notifies(timeout=0.05)] == []
        heard = [each.channel async for each in session.notifies(timeout=10, stop_after=1)]
    assert heard == [CHANNEL]


async def test_a_bell_rung_by_many_sounds_less_often(database: Database, outbox: Outbox) -> None:
    async with database.session() as session:
        await session.execute(f"LISTEN {CHANNEL}".encode())
        await asyncio.gather(*(outbox.add([Report(f"{n}", created())]) for n in range(100)))
        await eventually(lambda: _is_waiting(outbox, 100))
        heard = [each async for each in session.notifies(timeout=0.3)]
    assert 1 <= len(heard) < 100


async def _is_waiting(outbox: Outbox, count: int) -> bool:
    return (await outbox.waiting())[0] == count


async def test_what_waits_has_an_age(database: Database, outbox: Outbox) -> None:
    await outbox.add([Report("milk", created()), Report("bread", created())])
    await execute(database, "UPDATE outbox SET created_at = created_at - interval '1 minute'")
    count, seconds = await outbox.waiting()
    assert (count, 60 <= seconds < 120) == (2, True)


async def test_what_was_published_long_ago_is_forgotten(database: Database, outbox: Outbox) -> None:
    await outbox.add([Report("old", created())])
    await execute(database, PUBLISH, [timedelta(hours=25)])
    await outbox.add([Report("new", created())])
    await outbox.upkeep().work()
    assert [row[0] for row in await every(database, ROWS)] == ["new"]


async def test_what_was_published_can_be_published_again(database: Database, outbox: Outbox) -> None:
    await outbox.add([Report("old", created())])
    await execute(database, PUBLISH, [timedelta(hours=2)])
    await outbox.add([Report("new", created())])
    await execute(database, PUBLISH + " WHERE published_at IS NULL", [timedelta()])
    await execute(database, "UPDATE outbox SET created_at = created_at - interval '3 hours'")
    assert await outbox.republish(datetime.now(UTC) - timedelta(hours=1)) == 1
    count, seconds = await outbox.waiting()
    assert (count, seconds < 3600) == (1, True)  # it waits since now
