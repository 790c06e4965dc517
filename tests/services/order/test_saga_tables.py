"""What is PostgreSQL's alone about sagas: locks, commits, what lies in the tables, where they come from."""

import asyncio
import shutil
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from services.order.domain.orders import OrderPlaced, OrderStatus
from services.order.main import MIGRATIONS
from services.order.repository.sagas import PostgresSagaRepository
from services.order.saga import ORDER_SAGA
from shared.db.database import Database
from shared.db.statements import every
from tests.engines import Engines
from tests.services.databases import opened
from tests.services.order.conftest import orchestrator_in, orders_in, sagas_in
from tests.services.order.fake_participants import FakeParticipants
from tests.services.order.place import WAIT_SECONDS, at_work
from tests.services.order.test_sagas import (
    AT_ONCE,
    LONG,
    PLACED,
    RESERVED,
    advance,
    an_order,
    begin,
    cancel,
    claimed,
)
from tests.waiting import eventually


@pytest.fixture
def sagas(database: Database) -> PostgresSagaRepository:
    return sagas_in(database)


async def begin_many(database: Database, count: int) -> set[UUID]:
    return {await begin(orders_in(database), sagas_in(database), number) for number in range(1, count + 1)}


async def setting(database: Database, name: str) -> str:
    ((value,),) = await every(database, f"SHOW {name}")
    return str(value)


# Claims


async def test_what_another_has_in_hand_is_passed_over(
    database: Database, sagas: PostgresSagaRepository
) -> None:
    await begin_many(database, 3)
    async with database.transaction() as connection:
        await connection.execute("SELECT FROM sagas WHERE order_id = %s FOR UPDATE", [UUID(int=1)])
        others = asyncio.create_task(sagas.claim_due(10, LONG))
        async with asyncio.timeout(WAIT_SECONDS):
            assert {each.order_id.int for each in await others} == {2, 3}
    assert [each.order_id.int for each in await sagas.claim_due(10, LONG)] == [1]


@pytest.mark.races
async def test_those_who_claim_at_once_share_what_is_due(database: Database) -> None:
    due = await begin_many(database, 40)
    claims = list[UUID]()
    while len(claims) < len(due):
        rounds = await asyncio.gather(*(sagas_in(database).claim_due(7, LONG) for _ in range(4)))
        assert all(len(each) <= 7 for each in rounds)
        assert any(rounds)
        claims += [claim.order_id for each in rounds for claim in each]
    assert len(set(claims)) == len(claims)
    assert set(claims) == due


async def test_however_it_is_planned_a_claim_keeps_to_its_limit(
    database: Database, sagas: PostgresSagaRepository
) -> None:
    """Also by a plan that looks for what is due once more for each row of the table."""
    await begin_many(database, 5)
    async with database.transaction() as connection:
        for way in ("hashagg", "hashjoin", "material", "sort"):
            await connection.execute(f"SET LOCAL enable_{way} = off".encode())
        assert len(await sagas.claim_due(2, LONG)) == 2


# Commits


async def test_claims_and_logs_wait_for_the_disk(database: Database, sagas: PostgresSagaRepository) -> None:
    await begin_many(database, 1)
    async with database.transaction():
        assert await advance(sagas, await claimed(sagas), RESERVED)
        assert await setting(database, "synchronous_commit") == "on"


async def test_a_pause_need_not_survive_a_crash(database: Database, sagas: PostgresSagaRepository) -> None:
    await begin_many(database, 1)
    run = await claimed(sagas)
    async with database.transaction():
        await sagas.postpone(run.claim, AT_ONCE, "silence")
        assert await setting(database, "synchronous_commit") == "off"
    await claimed(sagas)
    async with database.transaction():
        assert await setting(database, "synchronous_commit") == "on"


# Tables


async def test_the_log_keeps_how_often_each_was_tried(
    database: Database, sagas: PostgresSagaRepository
) -> None:
    asked, unasked = await begin(orders_in(database), sagas, 1), UUID(int=2)
    run = await claimed(sagas)
    for _ in range(2):
        await sagas.postpone(run.claim, LONG, "silence")
    assert await every(database, "SELECT attempts, problem FROM sagas") == [(2, "silence")]
    assert await advance(sagas, run, RESERVED)
    assert await every(database, "SELECT attempts, problem FROM sagas") == [(0, "")]
    await begin(orders_in(database), sagas, unasked.int)
    await cancel(orders_in(database), sagas, unasked)
    lines = "SELECT position, action, attempts, began_at <= ended_at FROM saga_log WHERE order_id = %s"
    first = (1, "place_order", 1, True)
    assert await every(database, lines, [asked]) == [first, (2, "reserve_stock", 3, True)]
    assert await every(database, lines, [unasked]) == [first, (2, "reserve_stock", 0, True)]


@pytest.mark.parametrize(
    "query",
    [
        "UPDATE saga_log SET outcome = 'lost'",
        "UPDATE saga_log SET outcome = 'refused'",
        "UPDATE saga_log SET reason = 'requested'",
        "INSERT INTO saga_log SELECT * FROM saga_log",
        "DELETE FROM sagas",
        "DELETE FROM orders",
    ],
    ids=[
        "an unknown outcome",
        "no reason",
        "a reason for nothing",
        "a position twice",
        "a log of no saga",
        "a saga of no order",
    ],
)
async def test_the_database_refuses(database: Database, query: str) -> None:
    await begin_many(database, 1)
    async with database.connection() as connection:
        with pytest.raises(psycopg.errors.IntegrityError):
            await connection.execute(query.encode())


# Orders of the time before


async def test_orders_that_were_pending_before_there_were_sagas_are_taken_up(
    engines: Engines, tmp_path: Path
) -> None:
    database_url = engines.new_database()
    for migration in sorted(MIGRATIONS.glob("*.sql"))[:4]:
        shutil.copy(migration, tmp_path)
    async with opened(database_url, tmp_path) as database:
        repository = orders_in(database)
        await repository.record(OrderPlaced(an_order(1)))
        await repository.record(OrderPlaced(an_order(2)))
        await repository.record(an_order(2).cancel("requested"))
    async with opened(database_url, MIGRATIONS) as database:
        repository, sagas = orders_in(database), sagas_in(database)
        assert await sagas.log_of(UUID(int=1)) == (PLACED,)
        assert await sagas.log_of(UUID(int=2)) == ()
        async with at_work(orchestrator_in(database, FakeParticipants())):
            await eventually(lambda: is_confirmed(database, UUID(int=1)), WAIT_SECONDS)


async def is_confirmed(database: Database, order_id: UUID) -> bool:
    order = await orders_in(database).get(order_id)
    return order is not None and order.status is OrderStatus.CONFIRMED


# Names


def test_what_the_log_calls_the_steps_stays_as_it_is() -> None:
    """They are in databases: under another name, no order that is under way could go on."""
    names = [(step.command.name, step.compensation and step.compensation.name) for step in ORDER_SAGA.steps]
    assert names == [
        ("place_order", "cancel_order"),
        ("reserve_stock", "release_stock"),
        ("charge_wallet", "refund_wallet"),
        ("commit_stock", None),
        ("confirm_order", None),
    ]
