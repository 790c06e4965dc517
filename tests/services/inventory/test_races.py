"""Everything at once, from two processes' pools: however a race falls out, the stock adds up."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from datetime import timedelta
from itertools import cycle
from random import Random
from typing import Any
from uuid import UUID

import pytest
from shop.inventory.v1.events_pb2 import StockChanged

from services.inventory.domain.outcomes import CommitOutcome, ReleaseOutcome, ReserveOutcome
from services.inventory.domain.reservations import Item, ReserveAnswer
from services.inventory.domain.stock import Stock
from services.inventory.main import MIGRATIONS
from services.inventory.service import InventoryService, StockOpening
from shared.config import Secret
from shared.db.database import Database
from shared.errors import Conflict, PreconditionFailed
from shared.events.envelope import unseal
from tests.services.databases import opened
from tests.services.events import in_the_outbox
from tests.services.inventory.conftest import LIFETIME, inventory_in

pytestmark = pytest.mark.races

AT_ONCE = 50
ADMIN = UUID(int=0xAD)
TEA, MILK, HONEY = PRODUCTS = [UUID(int=number) for number in (1, 2, 3)]
IDS = [UUID(int=1001 + number) for number in range(AT_ONCE)]
ONE_TEA = [Item(TEA, 1)]

ADDS_UP = """
    SELECT product_id, on_hand, reserved,
        (SELECT coalesce(sum(difference), 0) FROM movements WHERE movements.product_id = stock.product_id),
        (SELECT coalesce(sum(quantity), 0) FROM reservation_items JOIN reservations USING (reservation_id)
         WHERE reservation_items.product_id = stock.product_id AND status = 'RESERVED')
    FROM stock"""


class Replicas:
    """Two processes of one service; commands go to them in turn."""

    def __init__(self, databases: list[Database]) -> None:
        self.databases = databases
        self._next = cycle(map(inventory_in, databases))

    def service(self, lifetime: timedelta = LIFETIME) -> InventoryService:
        return InventoryService(next(self._next), lifetime)

    def opening(self) -> StockOpening:
        return StockOpening(next(self._next))

    async def stock_up(self, on_hand: int) -> None:
        for product_id in PRODUCTS:
            await self.service().count(product_id, on_hand, ADMIN)

    async def tea(self) -> tuple[int, int]:
        """On hand, and set aside, after all has been found to add up."""
        async with self.databases[0].connection() as connection:
            rows = await (await connection.execute(ADDS_UP)).fetchall()
        for _, on_hand, reserved, booked, held in rows:
            assert (on_hand, reserved) == (booked, held)
            assert 0 <= reserved <= on_hand
        return next((row[1], row[2]) for row in rows if row[0] == TEA)


@pytest.fixture
async def replicas(database_url: Secret) -> AsyncIterator[Replicas]:
    async with (
        opened(database_url, MIGRATIONS, for_a_race=True) as one,
        opened(database_url, MIGRATIONS, for_a_race=True) as other,
    ):
        yield Replicas([one, other])


async def reserved(replicas: Replicas, reservation_ids: list[UUID], items: list[Item]) -> list[ReserveAnswer]:
    return await asyncio.gather(*(replicas.service().reserve(each, items) for each in reservation_ids))


async def test_the_last_piece_is_promised_once(replicas: Replicas) -> None:
    await replicas.stock_up(1)
    answers = await reserved(replicas, IDS, ONE_TEA)
    assert Counter(each.outcome for each in answers) == {
        ReserveOutcome.RESERVED: 1,
        ReserveOutcome.OUT_OF_STOCK: AT_ONCE - 1,
    }
    assert await replicas.tea() == (1, 1)


async def test_one_reservation_asked_for_many_times_is_made_once(replicas: Replicas) -> None:
    await replicas.stock_up(AT_ONCE)
    answers = await reserved(replicas, [IDS[0]] * AT_ONCE, ONE_TEA)
    assert len(set(answers)) == 1
    assert answers[0].outcome is ReserveOutcome.RESERVED
    assert await replicas.tea() == (AT_ONCE, 1)


async def test_one_identifier_for_different_items_is_one_reservation(replicas: Replicas) -> None:
    await replicas.stock_up(AT_ONCE)

    async def reserve(quantity: int) -> int:
        try:
            await replicas.service().reserve(IDS[0], [Item(TEA, quantity)])
        except Conflict:
            return 0
        return quantity

    quantities = await asyncio.gather(*map(reserve, range(1, 21)))
    assert sum(map(bool, quantities)) == 1
    assert await replicas.tea() == (AT_ONCE, sum(quantities))


async def test_a_release_beside_its_reserve_leaves_nothing_set_aside(replicas: Replicas) -> None:
    await replicas.stock_up(AT_ONCE)

    async def both(reservation_id: UUID) -> None:
        service = replicas.service()
        reserving = service.reserve(reservation_id, ONE_TEA)
        answer, outcome = await asyncio.gather(reserving, service.release(reservation_id))
        assert answer.outcome in (ReserveOutcome.RESERVED, ReserveOutcome.ALREADY_CANCELLED)
        assert outcome is ReleaseOutcome.RELEASED
        again = await service.reserve(reservation_id, ONE_TEA)
        assert again.outcome is ReserveOutcome.ALREADY_CANCELLED

    await asyncio.gather(*map(both, IDS))
    assert await replicas.tea() == (AT_ONCE, 0)


async def test_a_reservation_ends_once(replicas: Replicas) -> None:
    await replicas.stock_up(AT_ONCE)
    await reserved(replicas, IDS[:20], ONE_TEA)

    async def ends(reservation_id: UUID) -> int:
        """How many pieces have left."""
        commits = [replicas.service().commit(reservation_id) for _ in range(2)]
        releases = [replicas.service().release(reservation_id) for _ in range(2)]
        committed, released = await asyncio.gather(asyncio.gather(*commits), asyncio.gather(*releases))
        has_left = committed[0] is CommitOutcome.COMMITTED
        assert set(committed) == {CommitOutcome.COMMITTED if has_left else CommitOutcome.ALREADY_CANCELLED}
        assert set(released) == {ReleaseOutcome.ALREADY_COMMITTED if has_left else ReleaseOutcome.RELEASED}
        return int(has_left)

    left = sum(await asyncio.gather(*map(ends, IDS[:20])))
    assert await replicas.tea() == (AT_ONCE - left, 0)


async def test_what_is_due_is_given_back_once(replicas: Replicas) -> None:
    await replicas.stock_up(AT_ONCE)
    hasty = replicas.service(timedelta(0))
    await asyncio.gather(*(hasty.reserve(each, ONE_TEA) for each in IDS))
    commits = [replicas.service().commit(each) for each in IDS[::2]]
    sweeps = [replicas.service().expire_due() for _ in range(10)]
    outcomes, _ = await asyncio.gather(asyncio.gather(*commits), asyncio.gather(*sweeps))
    assert set(outcomes) == {CommitOutcome.RESERVATION_EXPIRED}
    while await hasty.expire_due():
        pass
    assert await replicas.tea() == (AT_ONCE, 0)
    reports = [
        unseal(each, StockChanged)
        for each in await in_the_outbox(replicas.databases[0])
        if each.subject == str(TEA)
    ]
    assert [each.stock.version for each in reports] == list(range(1, 2 * AT_ONCE + 2))


async def test_many_first_counts_make_one_row(replicas: Replicas) -> None:
    await asyncio.gather(*(replicas.service().count(TEA, number, ADMIN) for number in range(1, 21)))
    assert (await replicas.service().get(TEA)).version == 20
    await replicas.tea()


async def test_a_product_is_opened_once(replicas: Replicas) -> None:
    opened = await asyncio.gather(*(replicas.opening().open(TEA) for _ in range(20)))
    assert sum(opened) == 1
    assert await replicas.service().get(TEA) == Stock(TEA, version=1)
    (event,) = await in_the_outbox(replicas.databases[0])
    assert (event.subject, event.type) == (str(TEA), "shop.inventory.v1.StockChanged")


async def test_a_product_that_is_opened_and_counted_at_once_has_what_was_counted(replicas: Replicas) -> None:
    several: list[Coroutine[Any, Any, object]] = [replicas.opening().open(TEA) for _ in range(20)]
    several.insert(10, replicas.service().count(TEA, 5, ADMIN))
    await asyncio.gather(*several)
    assert await replicas.tea() == (5, 0)
    reports = [unseal(each, StockChanged) for each in await in_the_outbox(replicas.databases[0])]
    assert [each.stock.version for each in reports] == list(range(1, len(reports) + 1))
    assert reports[-1].stock.on_hand == 5


async def test_of_many_that_expect_one_version_only_one_succeeds(replicas: Replicas) -> None:
    await replicas.stock_up(1)

    async def count(on_hand: int) -> int:
        try:
            await replicas.service().count(TEA, on_hand, ADMIN, lambda version: version == 1)
        except PreconditionFailed:
            return 0
        return on_hand

    counted = await asyncio.gather(*map(count, range(2, 12)))
    assert sum(map(bool, counted)) == 1
    assert await replicas.tea() == (sum(counted), 0)


async def test_overlapping_items_in_any_order_never_wait_in_a_circle(replicas: Replicas) -> None:
    """PostgreSQL would end a circle after a second, and one of its commands with Unavailable."""
    await replicas.stock_up(1_000)
    dice = Random(7)

    async def life(reservation_id: UUID) -> None:
        items = [Item(each, dice.randint(1, 3)) for each in dice.sample(PRODUCTS, dice.randint(2, 3))]
        hasty = replicas.service(dice.choice([LIFETIME, timedelta(0)]))
        await hasty.reserve(reservation_id, items)
        await dice.choice([replicas.service().commit, replicas.service().release])(reservation_id)

    several: list[Coroutine[Any, Any, object]] = [life(each) for each in IDS]
    several += [replicas.service().expire_due() for _ in range(10)]
    several += [replicas.service().count(each, 1_000, ADMIN) for each in PRODUCTS * 5]
    dice.shuffle(several)
    await asyncio.gather(*several)
    await replicas.tea()
