"""Events that are true together with the state that they report (the transactional outbox).

A repository writes the state, which locks the thing concerned, and then adds the events, in one transaction.
So either both are there or neither is; and of one thing, events get their positions in the order in which its
changes are committed, however many processes write. (Of different things they need not: a later position may
be committed before an earlier one. Whoever reads must never take the highest position seen for a watermark.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from google.protobuf.message import Message as ProtobufMessage

from shared import context
from shared.db.database import Database
from shared.db.statements import execute, one
from shared.duties import Duty
from shared.errors import Unavailable
from shared.events.envelope import Envelope, encode, seal
from shared.ids import new_id
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.tasks import spawn

CHANNEL = "outbox"  # of NOTIFY
KEPT = timedelta(hours=24)  # after publishing: how long a broker that has lost everything can be served again
MOST_BYTES = 500_000  # of an event; Kafka takes a million, and one that it refuses would stop all behind it
CLEANED_AT_ONCE = 5_000  # rows; more would hold others up
UPKEEP_SECONDS = 5.0

_ADD = """
    INSERT INTO outbox (event_id, key, type, value)
    SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::bytea[])"""
# A commit that notifies is written to disk like any other; this one tells nothing that has to last.
_RING = """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    SELECT pg_notify(%s, '') FROM unhurried"""
_WAITING = """
    SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float
    FROM outbox WHERE published_at IS NULL"""
_CLEAN = """
    DELETE FROM outbox WHERE position IN (
        SELECT position FROM outbox WHERE published_at < now() - %s ORDER BY published_at LIMIT %s)"""
_REPUBLISH = """
    UPDATE outbox SET published_at = NULL, created_at = clock_timestamp() WHERE published_at >= %s"""


@dataclass(frozen=True, slots=True)
class Report:
    """What is to be told about `subject`: events with the same one stay in order."""

    subject: str
    message: ProtobufMessage


class Outbox:
    """One service's outbox, a table in its own database; `source` is the service."""

    def __init__(self, database: Database, source: str) -> None:
        self._database = database
        self._source = source
        self._doorbell = _Doorbell(database)
        self._waiting = (0, 0.0)

    async def add(self, reports: Sequence[Report]) -> None:
        """To be published once the transaction that the task is in has been committed.

        Raises Unavailable; ValueError for one that is larger than MOST_BYTES.
        """
        if not reports:
            return
        rows = [_row(envelope) for envelope in self._sealed(reports)]
        await execute(self._database, _ADD, [list(column) for column in zip(*rows, strict=True)])
        self._database.after_commit(self._doorbell.ring)

    def _sealed(self, reports: Sequence[Report]) -> Iterator[Envelope]:
        now, traceparent = datetime.now(UTC), (context.trace.get() or begin_span(None)).traceparent
        for each in reports:
            yield seal(
                each.message,
                event_id=new_id(),
                source=self._source,
                subject=each.subject,
                time=now,
                traceparent=traceparent,
            )

    async def republish(self, since: datetime) -> int:
        """Have everything published again that was at `since` or later. Returns how many events that is.

        What was longer than KEPT ago is gone.
        """
        async with self._database.session() as session:  # where statements may take as long as they need
            count = (await session.execute(_REPUBLISH, [since])).rowcount
            await session.execute(_RING, [CHANNEL])
        return count

    async def waiting(self) -> tuple[int, float]:
        """How many events are not published yet, and for how many seconds the oldest has not been."""
        row = await one(self._database, _WAITING)
        return (0, 0.0) if row is None else (row[0], row[1])

    def upkeep(self) -> Duty:
        """Forget what was published long ago, and know what waits."""
        metrics.show(metrics.OUTBOX_ROWS, lambda: self._waiting[0])
        metrics.show(metrics.OUTBOX_AGE, lambda: self._waiting[1])

        async def keep() -> None:
            while await execute(self._database, _CLEAN, [KEPT, CLEANED_AT_ONCE]) == CLEANED_AT_ONCE:
                pass
            self._waiting = await self.waiting()

        return Duty("outbox", keep, UPKEEP_SECONDS)


def _row(envelope: Envelope) -> tuple[object, ...]:
    """The columns of _ADD, in their order."""
    value = encode(envelope)
    if len(value) > MOST_BYTES:
        raise ValueError(f"an event of {len(value)} bytes, {envelope.type}, is more than a bus takes")
    return (envelope.id, envelope.partitionkey, envelope.type, value)


class _Doorbell:
    """Tells the leading relay, in whichever process it is, that there is something new.

    By a NOTIFY after the commit and not within: PostgreSQL commits those that notify one after the other,
    each with a flush to disk of its own. Rung by many at once, it sounds once. A bell that is not heard,
    because its process dies first, only costs time: the relay also looks by itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_sounding = False
        self._is_rung_again = False

    def ring(self) -> None:
        self._is_rung_again = True
        if not self._is_sounding:
            self._is_sounding = True
            spawn(self._sound(), "outbox bell")

    async def _sound(self) -> None:
        try:
            while self._is_rung_again:
                self._is_rung_again = False
                await execute(self._database, _RING, [CHANNEL])
        except Unavailable:
            pass  # the relay has lost its connection, too, and begins by looking
        finally:
            self._is_sounding = False
