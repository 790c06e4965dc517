"""From the outbox to the bus, in order, by one leading process per database.

The leader holds an advisory lock for as long as its session lives, hears NOTIFY over it, and reads the rows
that are not published, lowest first. A row counts as published once the bus has confirmed that it will not
lose it. That may take a second where the engine writes to disk once a second; other rows are sent meanwhile.

After any failure everything begins anew, with another session, another publisher and the lowest row that is
not published: rows may be sent twice, but none before its elders. Two leaders at the same time (the lock was
lost without the leader knowing) do no more harm than that.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from shared.crash_points import crash_points_around
from shared.db.database import Database, answering
from shared.db.pool import Connection
from shared.db.statements import execute
from shared.duties import failure_of
from shared.events.bus import Bus, Message, Publisher
from shared.events.outbox import CHANNEL
from shared.observability import metrics
from shared.observability.trouble import Trouble
from shared.tasks import together

LOOK_SECONDS = 5.0  # the relay looks by itself so often, should a NOTIFY be lost
CANDIDATE_SECONDS = 0.5  # how often the others try to take the lead
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.25, 2.0  # doubling
TIDY_SECONDS = 10.0
BATCH = 500  # rows
MOST_UNCONFIRMED = 10_000  # rows that are sent and may have to be sent again

_LEAD = "SELECT pg_try_advisory_lock(hashtext('outbox relay'))"
_NEXT = """
    SELECT position, key, value, extract(epoch FROM clock_timestamp() - created_at)::float
    FROM outbox
    WHERE published_at IS NULL
      AND NOT EXISTS (SELECT FROM unnest(%s::bigint[]) AS sent (at) WHERE sent.at = outbox.position)
    ORDER BY position LIMIT %s"""
# If a crash of the server loses such a mark, events are sent again: this need not wait for the disk.
_PUBLISHED = """
    WITH unhurried AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))
    UPDATE outbox SET published_at = clock_timestamp() FROM unhurried WHERE position = ANY(%s)"""

_log = logging.getLogger(__name__)


class Relay:
    """Publishes the outbox in `database` to `topic`; any number of processes may run one."""

    def __init__(self, database: Database, bus: Bus, topic: str) -> None:
        self._database = database
        self._bus = bus
        self._topic = topic
        self._trouble = Trouble(_log, "events are not published", "events are published again")
        self._pause = FIRST_RETRY_SECONDS
        metrics.expose(metrics.EVENTS_PUBLISHED)
        metrics.expose(metrics.PUBLISHING_DELAY)
        metrics.start_at_zero(metrics.EVENTS_PUBLISHED, (topic,))

    async def run(self) -> None:
        """Publish until cancelled, whatever is away meanwhile."""
        await self._database.wait_until_migrated()
        while True:
            self._trouble.is_now(await failure_of(self._lead))
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LAST_RETRY_SECONDS)

    async def _lead(self) -> None:
        async with self._database.session() as session:
            await _take_the_lead(session)
            async with self._bus.publisher([self._topic]) as publisher:
                term = _Term(session, self._database, publisher, self._topic)
                await together(term.serve(), self._note_success(term))

    async def _note_success(self, term: "_Term") -> None:
        """A bus that lets us in may still refuse to take anything."""
        await term.has_worked.wait()
        self._pause = FIRST_RETRY_SECONDS
        self._trouble.is_over()


class _Term:
    """One time of leading, from taking the lock to the first failure."""

    def __init__(self, session: Connection, database: Database, publisher: Publisher, topic: str) -> None:
        self._session = session
        self._database = database
        self._publisher = publisher
        self._topic = topic
        self._unconfirmed: set[int] = set()  # positions that were sent
        self._has_sent = asyncio.Event()
        self._has_room = asyncio.Event()
        self.has_worked = asyncio.Event()

    async def serve(self) -> None:
        """Until something fails. Raises Unavailable, or the session's psycopg.OperationalError."""
        await together(self._send(), self._confirm(), self._tidy())

    async def _send(self) -> None:
        async with answering():
            await self._session.execute(f"LISTEN {CHANNEL}".encode())
        while True:
            while rows := await self._next():
                started = time.monotonic()
                with crash_points_around("publish"):
                    await self._publisher.send(
                        [Message(self._topic, key, value) for _, key, value, _ in rows]
                    )
                self._sent(rows, time.monotonic() - started)
                await self._wait_for_room()
            async for _ in self._session.notifies(timeout=LOOK_SECONDS, stop_after=1):
                pass

    async def _next(self) -> Sequence[Any]:
        # Not prepared: a plan that knows the array's length joins by hash.
        async with answering():
            found = await self._session.execute(_NEXT, [list(self._unconfirmed), BATCH], prepare=False)
            return await found.fetchall()

    def _sent(self, rows: Sequence[Any], took: float) -> None:
        self._unconfirmed.update(row[0] for row in rows)
        self._has_sent.set()
        metrics.EVENTS_PUBLISHED.labels(self._topic).inc(len(rows))
        for *_, age in rows:
            metrics.PUBLISHING_DELAY.observe(age + took)

    async def _wait_for_room(self) -> None:
        while len(self._unconfirmed) >= MOST_UNCONFIRMED:
            self._has_room.clear()
            await self._has_room.wait()

    async def _confirm(self) -> None:
        while True:
            await self._has_sent.wait()
            self._has_sent.clear()
            sent = list(self._unconfirmed)
            with crash_points_around("confirm"):
                await self._publisher.confirm()
            with crash_points_around("commit_of_published"):
                await execute(self._database, _PUBLISHED, [sent])
            self._unconfirmed.difference_update(sent)
            self._has_room.set()
            self.has_worked.set()

    async def _tidy(self) -> None:
        while True:
            await self._publisher.tidy()
            self.has_worked.set()
            await asyncio.sleep(TIDY_SECONDS)


async def _take_the_lead(session: Connection) -> None:
    """By asking again: a statement that waits for the lock would keep the server from tidying up."""
    while not await _leads(session):  # noqa: ASYNC110 - nobody else tells
        await asyncio.sleep(CANDIDATE_SECONDS)


async def _leads(session: Connection) -> bool:
    async with answering():
        return await (await session.execute(_LEAD)).fetchone() == (True,)
