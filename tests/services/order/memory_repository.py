"""The domain's repositories in memory: the fakes that pass the same suites as the real things."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from services.order.domain.articles import Article
from services.order.domain.fulfilment import Claim, Overview, Run
from services.order.domain.orders import Order, OrderEvent, OrderItem, OrderPlaced
from shared import context
from shared.errors import Conflict
from shared.observability.tracing import begin_span
from shared.saga import Entry, Log


class MemoryArticleRepository:
    def __init__(self) -> None:
        self.articles: dict[UUID, Article] = {}

    async def keep(self, article: Article) -> bool:
        ours = self.articles.get(article.product_id)
        if ours is not None and (ours == article or ours.version > article.version):
            return False
        self.articles[article.product_id] = article
        return True


@dataclass(frozen=True, slots=True)
class MemorySaga:
    """A row of `sagas`, with its log. Times are by the monotonic clock."""

    log: Log
    traceparent: str
    due_at: float | None
    next_since: float
    began_at: float
    epoch: int = 0
    attempts: int = 0
    problem: str = ""


class Memory:
    """What a database would keep, and its transactions: one after the other."""

    def __init__(self) -> None:
        self.orders: dict[UUID, Order] = {}
        self.events: list[OrderEvent] = []
        self.sagas: dict[UUID, MemorySaga] = {}
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[object] | None = None
        self._afterwards: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether this task is inside a transaction."""
        return self._writer is asyncio.current_task()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        if self.is_open:
            yield
            return
        async with self._writing:
            before = dict(self.orders), list(self.events), dict(self.sagas)
            self._writer, self._afterwards = asyncio.current_task(), []
            try:
                yield
            except BaseException:
                self.orders, self.events, self.sagas = before
                raise
            finally:
                self._writer = None
            for act in self._afterwards:
                act()

    def after_commit(self, act: Callable[[], None]) -> None:
        if self.is_open:
            self._afterwards.append(act)
        else:
            act()

    async def let_others_in(self) -> None:
        """As whatever waits for a row does."""
        assert self.is_open, "only inside a unit of work"
        await asyncio.sleep(0)


class MemoryOrderRepository:
    def __init__(self, memory: Memory, articles: MemoryArticleRepository) -> None:
        self.memory = memory
        self.articles = articles

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        return self.memory.transaction()

    async def get(self, order_id: UUID) -> Order | None:
        async with self.memory.transaction():
            order = self.memory.orders.get(order_id)
            return None if order is None else self._told(order)

    async def hold(self, order_id: UUID) -> Order | None:
        await self.memory.let_others_in()
        return await self.get(order_id)

    async def page(self, user_id: UUID | None, after: UUID | None, limit: int) -> list[Order]:
        async with self.memory.transaction():
            newest_first = sorted(self.memory.orders.values(), key=lambda each: each.order_id, reverse=True)
        return [
            self._told(each)
            for each in newest_first
            if (user_id is None or each.user_id == user_id) and (after is None or each.order_id < after)
        ][:limit]

    async def record(self, event: OrderEvent) -> None:
        order = event.order
        async with self.memory.transaction():
            if isinstance(event, OrderPlaced) and order.order_id in self.memory.orders:
                raise Conflict("There is an order with this identifier already.")
            self.memory.orders[order.order_id] = order
            self.memory.events.append(event)

    def _told(self, order: Order) -> Order:
        return replace(order, items=tuple(map(self._item_told, order.items)))

    def _item_told(self, item: OrderItem) -> OrderItem:
        ours = self.articles.articles.get(item.product_id)
        return item if ours is None else replace(item, product_name=ours.name)


class MemorySagaRepository:
    def __init__(self, orders: MemoryOrderRepository) -> None:
        self._memory = orders.memory
        self._orders = orders

    async def until_ready(self) -> None:
        """Always."""

    def unit_of_work(self, what: str = "") -> AbstractAsyncContextManager[object]:
        return self._memory.transaction()

    def after_commit(self, act: Callable[[], None]) -> None:
        self._memory.after_commit(act)

    async def begin(self, order: Order, entries: Sequence[Entry], seconds: float) -> Run:
        await self._memory.let_others_in()
        now, traceparent = time.monotonic(), (context.trace.get() or begin_span(None)).traceparent
        saga = MemorySaga(tuple(entries), traceparent, now + seconds, now, now, epoch=1 if seconds else 0)
        self._memory.sagas[order.order_id] = saga
        return Run(Claim(order.order_id, saga.epoch), order, saga.log, traceparent)

    async def claim_due(self, limit: int, seconds: float) -> list[Claim]:
        async with self._memory.transaction():
            now = time.monotonic()
            due = [(each.due_at, order_id) for order_id, each in self._running() if (each.due_at or 0) <= now]
            return [self._claimed(order_id, now + seconds) for _, order_id in sorted(due)[:limit]]

    def _claimed(self, order_id: UUID, until: float) -> Claim:
        epoch = self._memory.sagas[order_id].epoch + 1
        self._change(order_id, epoch=epoch, due_at=until)
        return Claim(order_id, epoch)

    async def load(self, claim: Claim) -> Run | None:
        async with self._memory.transaction():
            saga, order = self._memory.sagas.get(claim.order_id), await self._orders.get(claim.order_id)
            if saga is None or order is None or saga.epoch != claim.epoch or saga.due_at is None:
                return None
            seconds = time.monotonic() - saga.next_since
            return Run(claim, order, saga.log, saga.traceparent, saga.attempts, seconds)

    async def log_of(self, order_id: UUID) -> Log:
        async with self._memory.transaction():
            return self._memory.sagas[order_id].log if order_id in self._memory.sagas else ()

    async def hold(self, run: Run) -> bool:
        await self._memory.let_others_in()
        return self._is_worth_something(run)

    async def advance(self, run: Run, entries: Sequence[Entry], seconds: float | None) -> None:
        self._write(run.claim.order_id, run.log, entries, seconds)

    async def turn_back(self, order_id: UUID, log: Log, entry: Entry) -> None:
        self._write(order_id, log, [entry], 0.0)
        self._change(order_id, epoch=self._memory.sagas[order_id].epoch + 1)

    async def postpone(self, claim: Claim, seconds: float, problem: str) -> None:
        async with self._memory.transaction():
            saga = dict(self._running()).get(claim.order_id)
            if saga is not None and saga.epoch == claim.epoch:
                due_at = time.monotonic() + seconds
                self._change(claim.order_id, due_at=due_at, attempts=saga.attempts + 1, problem=problem)

    async def give_back(self, claims: Sequence[Claim]) -> None:
        async with self._memory.transaction():
            epochs = {order_id: each.epoch for order_id, each in self._running()}
            for claim in claims:
                if epochs.get(claim.order_id) == claim.epoch:
                    self._change(claim.order_id, due_at=time.monotonic())

    async def hurry(self, order_id: UUID) -> bool:
        async with self._memory.transaction():
            is_running = order_id in dict(self._running())
            if is_running:
                self._change(order_id, due_at=time.monotonic())
            return is_running

    async def overview(self, stuck_after: float) -> Overview:
        async with self._memory.transaction():
            now, running = time.monotonic(), [each for _, each in self._running()]
            stuck = sum(now - each.next_since >= stuck_after for each in running)
            return Overview(len(running), stuck, max((now - each.began_at for each in running), default=0.0))

    def _running(self) -> list[tuple[UUID, MemorySaga]]:
        return [each for each in self._memory.sagas.items() if each[1].due_at is not None]

    def _is_worth_something(self, run: Run) -> bool:
        saga = self._memory.sagas.get(run.claim.order_id)
        return saga is not None and (saga.epoch, len(saga.log)) == (run.claim.epoch, len(run.log))

    def _write(self, order_id: UUID, log: Log, entries: Sequence[Entry], seconds: float | None) -> None:
        assert self._memory.is_open, "only inside a unit of work"
        now = time.monotonic()
        due_at = None if seconds is None else now + seconds
        self._change(order_id, log=(*log, *entries), due_at=due_at, attempts=0, next_since=now, problem="")

    def _change(self, order_id: UUID, **changes: object) -> None:
        self._memory.sagas[order_id] = replace(self._memory.sagas[order_id], **changes)  # type: ignore[arg-type]
