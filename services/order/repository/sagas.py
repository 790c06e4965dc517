"""Sagas and their logs in PostgreSQL. All times are by its clock.

An epoch is never given out twice, so that a claim that is worth nothing stays so, also after a crash of the
server: a claim waits for the disk. So does each line of a log, before the command is sent that it leads to
(write-ahead): what the log does not know of would never be undone. Only a pause does not wait.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

from psycopg.rows import TupleRow

from services.order.domain.fulfilment import Claim, Overview, Run
from services.order.domain.orders import Order, OrderRepository
from shared import context
from shared.crash_points import crash_points_around
from shared.db.database import Database
from shared.db.statements import every, execute, one
from shared.observability.tracing import begin_span
from shared.saga import Entry, Log, Outcome

_BEGIN = """
    INSERT INTO sagas (order_id, position, epoch, traceparent) VALUES (%s, 0, %s, %s)"""

# What is due is looked for once, whatever the plan: as a mere subquery it could be more than the limit.
_CLAIM_DUE = """
    WITH due AS MATERIALIZED (
        SELECT order_id FROM sagas WHERE due_at <= now()
        ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED)
    UPDATE sagas SET (epoch, due_at) = (epoch + 1, clock_timestamp() + make_interval(secs => %s))
    FROM due
    WHERE sagas.order_id = due.order_id
    RETURNING sagas.order_id, epoch"""
_POSTPONE = """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE sagas SET (due_at, attempts, problem)
        = (clock_timestamp() + make_interval(secs => %s), attempts + 1, %s)
    FROM unhurried
    WHERE (order_id, epoch) = (%s, %s) AND due_at IS NOT NULL"""
_GIVE_BACK = """
    UPDATE sagas SET due_at = clock_timestamp()
    FROM unnest(%s::uuid[], %s::bigint[]) AS given (order_id, epoch)
    WHERE sagas.order_id = given.order_id AND sagas.epoch = given.epoch AND due_at IS NOT NULL"""
_HURRY = "UPDATE sagas SET due_at = clock_timestamp() WHERE order_id = %s AND due_at IS NOT NULL"

_LOAD = """
    SELECT traceparent, attempts, extract(epoch FROM clock_timestamp() - next_since)::float
    FROM sagas WHERE (order_id, epoch) = (%s, %s) AND due_at IS NOT NULL"""
_LOG = "SELECT action, outcome, reason FROM saga_log WHERE order_id = %s ORDER BY position"

_HOLD = """
    SELECT FROM orders JOIN sagas USING (order_id)
    WHERE (order_id, epoch, position) = (%s, %s, %s) FOR UPDATE"""

# The log's new lines, and from now on something else comes next.
_WRITE = """
    WITH saga AS (
        SELECT attempts, next_since FROM sagas WHERE order_id = %(order_id)s
    ), written AS (
        INSERT INTO saga_log (order_id, position, action, outcome, reason, attempts, began_at)
        SELECT %(order_id)s, %(position)s + number, action, outcome, reason,
            CASE number WHEN 1 THEN saga.attempts + %(tried)s ELSE 1 END,
            CASE number WHEN 1 THEN saga.next_since ELSE clock_timestamp() END
        FROM saga, unnest(%(actions)s::text[], %(outcomes)s::text[], %(reasons)s::text[]) WITH ORDINALITY
            AS entry (action, outcome, reason, number)
    )
    UPDATE sagas SET (position, epoch, attempts, next_since, problem, due_at)
        = (%(position)s + %(count)s, epoch + %(epochs)s, 0, clock_timestamp(), '',
           clock_timestamp() + %(due_in)s)
    WHERE order_id = %(order_id)s"""

_OVERVIEW = """
    SELECT count(*),
        count(*) FILTER (WHERE clock_timestamp() - next_since >= make_interval(secs => %s)),
        coalesce(extract(epoch FROM clock_timestamp() - min(began_at)), 0)::float
    FROM sagas WHERE due_at IS NOT NULL"""


class PostgresSagaRepository:
    """The domain's SagaRepository; `orders` are in the same database."""

    def __init__(self, database: Database, orders: OrderRepository) -> None:
        self._database = database
        self._orders = orders

    async def until_ready(self) -> None:
        """Its tables are there."""
        await self._database.wait_until_migrated()

    def unit_of_work(self, what: str = "") -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction(what)

    def after_commit(self, act: Callable[[], None]) -> None:
        """As the transaction says."""
        self._database.after_commit(act)

    async def begin(self, order: Order, entries: Sequence[Entry], seconds: float) -> Run:
        """Its trace is that of the request."""
        claim = Claim(order.order_id, epoch=1 if seconds else 0)
        trace = context.trace.get() or begin_span(None)
        await execute(self._database, _BEGIN, [claim.order_id, claim.epoch, trace.traceparent])
        await self._write(claim.order_id, 0, entries, due_in=seconds)
        return Run(claim, order, tuple(entries), trace.traceparent)

    async def claim_due(self, limit: int, seconds: float) -> list[Claim]:
        """Those that others have in hand are passed over, not waited for."""
        with crash_points_around("claim"):
            return [Claim(*row) for row in await every(self._database, _CLAIM_DUE, [limit, seconds])]

    async def load(self, claim: Claim) -> Run | None:
        """In one statement each: the saga, its log, its order."""
        row = await one(self._database, _LOAD, [claim.order_id, claim.epoch])
        order = None if row is None else await self._orders.get(claim.order_id)
        if row is None or order is None:
            return None
        traceparent, attempts, seconds = row
        return Run(claim, order, await self.log_of(claim.order_id), traceparent, attempts, seconds)

    async def log_of(self, order_id: UUID) -> Log:
        """By primary key."""
        return tuple(map(_entry, await every(self._database, _LOG, [order_id])))

    async def hold(self, run: Run) -> bool:
        """Both rows are locked until the transaction ends, the order's first."""
        values = [run.claim.order_id, run.claim.epoch, len(run.log)]
        return await one(self._database, _HOLD, values) is not None

    async def advance(self, run: Run, entries: Sequence[Entry], seconds: float | None) -> None:
        """By the position that has been checked when the saga was held."""
        await self._write(run.claim.order_id, len(run.log), entries, due_in=seconds)

    async def turn_back(self, order_id: UUID, log: Log, entry: Entry) -> None:
        """The order's lock keeps the position as it is."""
        await self._write(order_id, len(log), [entry], due_in=0.0, tried=0, epochs=1)

    async def postpone(self, claim: Claim, seconds: float, problem: str) -> None:
        """Nothing, when the claim is worth nothing."""
        with crash_points_around("postpone"):
            values = [seconds, problem, claim.order_id, claim.epoch]
            await execute(self._database, _POSTPONE, values)

    async def give_back(self, claims: Sequence[Claim]) -> None:
        """All in one statement."""
        columns = [[each.order_id for each in claims], [each.epoch for each in claims]]
        await execute(self._database, _GIVE_BACK, columns)

    async def hurry(self, order_id: UUID) -> bool:
        """By primary key."""
        return await execute(self._database, _HURRY, [order_id]) == 1

    async def overview(self, stuck_after: float) -> Overview:
        """Over the index of those that are running."""
        row = await one(self._database, _OVERVIEW, [stuck_after])
        assert row is not None
        return Overview(*row)

    async def _write(
        self,
        order_id: UUID,
        position: int,
        entries: Sequence[Entry],
        *,
        due_in: float | None,
        tried: int = 1,
        epochs: int = 0,
    ) -> None:
        values = {
            "order_id": order_id,
            "position": position,
            "count": len(entries),
            "tried": tried,
            "epochs": epochs,
            "actions": [each.action for each in entries],
            "outcomes": [each.outcome.value for each in entries],
            "reasons": [each.reason for each in entries],
            "due_in": None if due_in is None else timedelta(seconds=due_in),
        }
        written = await execute(self._database, _WRITE, values)
        assert written == 1, f"order {order_id} has no saga"


def _entry(row: TupleRow) -> Entry:
    action, outcome, reason = row
    return Entry(action, Outcome(outcome), reason)
