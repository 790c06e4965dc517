"""Whatever sequence of commands comes, and however often each: nothing is lost, no outcome changes."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.inventory.domain.outcomes import (
    CommitOutcome,
    ReleaseOutcome,
    ReservationStatus,
    ReserveOutcome,
)
from services.inventory.domain.reservations import Item, ReserveAnswer
from services.inventory.domain.stock import MovementReason
from services.inventory.service import InventoryService
from shared.errors import Conflict
from tests.services.inventory.memory_repository import MemoryInventoryRepository

ADMIN = UUID(int=0xAD)
LIFETIME = timedelta(seconds=10)
MAY_BECOME = {ReserveOutcome.ALREADY_CANCELLED, ReserveOutcome.RESERVATION_EXPIRED}

T = TypeVar("T")
products = st.integers(1, 3).map(lambda number: UUID(int=number))
reservations = st.integers(1001, 1004).map(lambda number: UUID(int=number))
baskets = st.lists(
    st.builds(Item, products, st.integers(1, 3)),
    min_size=1,
    max_size=3,
    unique_by=lambda item: item.product_id,
)


class Inventory(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.memory = MemoryInventoryRepository()
        self.service = InventoryService(self.memory, LIFETIME)
        self.baskets: dict[UUID, set[Item]] = {}
        self.reserved: dict[UUID, ReserveAnswer] = {}
        self.released: dict[UUID, ReleaseOutcome] = {}
        self.committed: dict[UUID, CommitOutcome] = {}

    def teardown(self) -> None:
        self.runner.close()

    def run(self, command: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(command)

    @rule(product_id=products, on_hand=st.integers(0, 9))
    def count(self, product_id: UUID, on_hand: int) -> None:
        stock = self.memory.stock.get(product_id)
        try:
            self.run(self.service.count(product_id, on_hand, ADMIN))
        except Conflict:
            assert stock is not None
            assert on_hand < stock.reserved

    @rule(reservation_id=reservations, items=baskets)
    def reserve(self, reservation_id: UUID, items: list[Item]) -> None:
        try:
            answer = self.run(self.service.reserve(reservation_id, items))
        except Conflict:
            assert set(items) != self.baskets[reservation_id]
            return
        before = self.reserved.setdefault(reservation_id, answer)
        self.baskets.setdefault(reservation_id, set(items))
        if answer != before:
            assert before.outcome is ReserveOutcome.RESERVED
            assert answer.outcome in MAY_BECOME
            assert self.committed.get(reservation_id) is not CommitOutcome.COMMITTED
            self.reserved[reservation_id] = answer

    @rule(reservation_id=reservations)
    def reserve_again(self, reservation_id: UUID) -> None:
        if reservation_id in self.baskets:
            self.reserve(reservation_id, list(self.baskets[reservation_id]))

    @rule(reservation_id=reservations)
    def release(self, reservation_id: UUID) -> None:
        outcome = self.run(self.service.release(reservation_id))
        assert self.released.setdefault(reservation_id, outcome) is outcome

    @rule(reservation_id=reservations)
    def commit(self, reservation_id: UUID) -> None:
        outcome = self.run(self.service.commit(reservation_id))
        before = self.committed.get(reservation_id, CommitOutcome.NOT_RESERVED)
        assert before in (outcome, CommitOutcome.NOT_RESERVED)
        self.committed[reservation_id] = outcome

    @rule(seconds=st.integers(1, 10))
    def wait(self, seconds: int) -> None:
        self.memory.time += timedelta(seconds=seconds)

    @rule()
    def expire(self) -> None:
        self.run(self.service.expire_due())
        assert self.run(self.service.expire_due()) == 0

    @invariant()
    def the_books_add_up(self) -> None:
        books: Counter[UUID] = Counter()
        for each in self.memory.movements:
            books[each.product_id] += each.difference
            assert each.difference != 0
            assert each.on_hand == books[each.product_id]
        assert all(stock.on_hand == books[product_id] for product_id, stock in self.memory.stock.items())

    @invariant()
    def what_is_set_aside_is_what_reservations_hold(self) -> None:
        held: Counter[UUID] = Counter()
        for each in self.memory.reservations.values():
            held.update({item.product_id: item.quantity for item in each.held})
        for product_id, stock in self.memory.stock.items():
            assert 0 <= stock.reserved <= stock.on_hand
            assert stock.reserved == held[product_id]

    @invariant()
    def what_has_left_is_what_was_committed(self) -> None:
        left = sum(
            -each.difference for each in self.memory.movements if each.reason is MovementReason.COMMITTED
        )
        committed = [
            each for each in self.memory.reservations.values() if each.status is ReservationStatus.COMMITTED
        ]
        assert left == sum(item.quantity for each in committed for item in each.items)


TestInventory = Inventory.TestCase
TestInventory.settings = settings(max_examples=40, stateful_step_count=30)
