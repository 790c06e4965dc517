"""Where sagas stand, out of order's database."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg.rows import TupleRow

from scripts.support.failures import BAD_SETTING, SetupError
from scripts.support.opened_database import opened_database
from services.order.service.orchestrator import STUCK_SECONDS
from shared.config import CHECKOUT, Environment
from shared.db.database import Database
from shared.db.statements import every, one
from shared.saga import Entry, Log, Outcome

_STANDING = """
    SELECT order_id, status, orders.reason, attempts, problem,
        extract(epoch FROM due_at - clock_timestamp())::float,
        extract(epoch FROM clock_timestamp() - next_since)::float,
        began_at, next_since,
        (SELECT json_agg(json_build_array(action, outcome, saga_log.reason) ORDER BY saga_log.position)
         FROM saga_log WHERE saga_log.order_id = sagas.order_id)
    FROM sagas JOIN orders USING (order_id)"""
_RUNNING = (
    _STANDING
    + """
    WHERE due_at IS NOT NULL AND next_since <= clock_timestamp() - make_interval(secs => %s)
    ORDER BY next_since LIMIT %s"""
)
_ENDED = _STANDING + " WHERE due_at IS NULL ORDER BY order_id DESC LIMIT %s"
_ONE = _STANDING + " WHERE order_id = %s"
_BETWEEN = "SELECT order_id FROM orders WHERE order_id BETWEEN %s AND %s LIMIT 2"

_DIGITS = 32  # of an identifier, in hexadecimal


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one saga stands.

    `attempts` at what comes next were in vain, the latest because of `problem`; `seconds` ago that came next.
    It is due again in `due_in` seconds; None once the saga has ended, which was at `since`.
    """

    order_id: UUID
    status: str
    reason: str
    attempts: int
    problem: str
    due_in: float | None
    seconds: float
    began_at: datetime
    since: datetime
    log: Log

    @property
    def is_stuck(self) -> bool:
        """Whether it waits for one answer for longer than anything takes that mends itself."""
        return self.due_in is not None and self.seconds >= STUCK_SECONDS


@asynccontextmanager
async def opened_service(environment: Environment, name: str) -> AsyncIterator[Database]:
    """The database of the service `name` while the block runs. Raises SetupError."""
    migrations = CHECKOUT / "services" / name / "migrations"
    async with opened_database(environment, name, migrations) as database:
        yield database


async def running(order: Database, for_seconds: float, limit: int) -> list[Standing]:
    """Up to `limit` sagas that have been waiting for so many seconds, the longest first."""
    return [_standing(row) for row in await every(order, _RUNNING, [for_seconds, limit])]


async def ended(order: Database, limit: int) -> list[Standing]:
    """Up to `limit` that have ended, those of the newest orders first."""
    return [_standing(row) for row in await every(order, _ENDED, [limit])]


async def standing_of(order: Database, order_id: UUID) -> Standing | None:
    """Where the saga of an order stands. None for one from before there were sagas."""
    row = await one(order, _ONE, [order_id])
    return None if row is None else _standing(row)


async def order_named(order: Database, text: str) -> UUID:
    """The order whose identifier is `text`, or begins with it. Raises SetupError unless that is one."""
    digits = text.replace("-", "").lower()
    if not re.fullmatch(f"[0-9a-f]{{1,{_DIGITS}}}", digits):
        raise SetupError(f"{text!r} is no identifier of an order, nor the beginning of one", BAD_SETTING)
    first, last = (UUID(digits.ljust(_DIGITS, digit)) for digit in "0f")
    found = await every(order, _BETWEEN, [first, last])
    if len(found) != 1:
        raise SetupError(f"several orders begin with {text}" if found else f"there is no order {text}")
    order_id: UUID = found[0][0]
    return order_id


def _standing(row: TupleRow) -> Standing:
    *columns, log = row
    values = (*columns, tuple(map(_entry, log or ())))
    return Standing(*values)


def _entry(columns: Sequence[Any]) -> Entry:
    action, outcome, reason = columns
    return Entry(action, Outcome(outcome), reason)
