"""Which process works at which partition: at most one at a time, all of them busy.

DatabaseOwnership settles it by advisory locks in the consumer's own database, held by one session of each
process: one lock for each partition that it owns, and one that all of them share, by which they are counted.
PostgreSQL frees the locks of a process that dies, and whoever has fewer partitions than its fair share takes
them up with its next look. A process that has more than its share, because another has come, lets some go.

A process that is frozen, or cut off from its database, loses its locks when the server ends its session
(SESSION_SECONDS), and does not know before it comes back. Until then two may work at the same partition: the
bus must bear that (redis_streams.py says how), and the inbox makes it one effect.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from shared.db.database import Database, answering
from shared.db.pool import Connection
from shared.tasks import cancel, spawn

LOOK_SECONDS = 1.0  # how long a partition is nobody's at most, and how often each process asks the database

# The two-number locks are a space of their own in PostgreSQL; the first number is the group's.
_JOIN = "SELECT pg_advisory_lock_shared(hashtext(%(name)s), 0)"
_COUNT_MEMBERS = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = hashtext(%(name)s)::oid AND objid = 0 AND objsubid = 2"""
_TAKE = "SELECT pg_try_advisory_lock(hashtext(%(name)s), hashtext(%(partition)s))"
_LET_GO = "SELECT pg_advisory_unlock(hashtext(%(name)s), hashtext(%(partition)s))"

_log = logging.getLogger(__name__)

Work = Callable[[str], Awaitable[None]]


class Ownership(Protocol):
    """How the processes of one service share work."""

    async def share(self, name: str, partitions: Sequence[str], work: Work) -> None:
        """Run `work` for each of `partitions` that this process owns, until cancelled.

        All processes that call it with the same `name` have about equally many. `work` is cancelled, and
        waited for, before its partition goes to another. What it raises ends everything; so does Unavailable
        when this process no longer knows what it owns.
        """


class DatabaseOwnership:
    """Ownership among the processes that use one `database`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._told: dict[str, Sequence[str]] = {}  # what the log has, by name

    async def share(self, name: str, partitions: Sequence[str], work: Work) -> None:
        """As Ownership says."""
        async with self._database.session() as session:
            works = _Works(work)
            try:
                await _Member(session, name, partitions, works, self._told).stay()
            finally:
                await works.stop(works.running)


class _Member:
    """One process of the group `name`, for as long as its session lives."""

    def __init__(
        self,
        session: Connection,
        name: str,
        partitions: Sequence[str],
        works: "_Works",
        told: dict[str, Sequence[str]],
    ) -> None:
        self._told = told
        self._session = session
        self._name = name
        self._partitions = partitions
        self._works = works

    async def stay(self) -> None:
        """Until a work fails or the session is lost."""
        await self._ask(_JOIN)
        while True:
            await self._settle()
            await self._works.wait(LOOK_SECONDS)

    async def _settle(self) -> None:
        members = await self._ask(_COUNT_MEMBERS)
        share = -(-len(self._partitions) // members)  # rounded up: nothing may be left over
        before = self._works.running
        await self._let_go(before[share:])
        await self._take_up_to(share)
        if (now := self._works.running) != before:
            self._tell(now, members)

    def _tell(self, partitions: Sequence[str], members: int) -> None:
        """Once: a bus that comes and goes has the same work taken up again and again."""
        if self._told.get(self._name) != partitions:
            _log.info("share of the work", extra={"of": self._name, "has": partitions, "members": members})
        self._told[self._name] = partitions

    async def _take_up_to(self, share: int) -> None:
        for partition in self._partitions:
            if len(self._works.running) >= share:
                break
            if partition not in self._works.running and await self._ask(_TAKE, partition):
                self._works.start(partition)

    async def _let_go(self, partitions: Sequence[str]) -> None:
        await self._works.stop(partitions)
        for partition in partitions:
            await self._ask(_LET_GO, partition)

    async def _ask(self, question: str, partition: str = "") -> int:
        values = {"name": self._name, "partition": partition}
        async with answering():
            row = await (await self._session.execute(question.encode(), values)).fetchone()
        assert row is not None
        return row[0] or 0


class _Works:
    """What this process works at now, one task for each partition."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failures: asyncio.Queue[Exception] = asyncio.Queue()

    @property
    def running(self) -> list[str]:
        """The partitions that were started and not stopped, oldest first."""
        return list(self._tasks)

    def start(self, partition: str) -> None:
        """Begin with `partition`."""
        self._tasks[partition] = spawn(self._run(partition), f"work at {partition}")

    async def stop(self, partitions: Sequence[str]) -> None:
        """Return when nothing works at them any more."""
        await cancel(*(self._tasks[partition] for partition in partitions))
        for partition in partitions:
            del self._tasks[partition]

    async def wait(self, seconds: float) -> None:
        """Raises what a work has raised, or raises meanwhile."""
        try:
            async with asyncio.timeout(seconds):
                failure = await self._failures.get()
        except TimeoutError:
            return
        raise failure

    async def _run(self, partition: str) -> None:
        try:
            await self._work(partition)
        except Exception as failure:
            self._failures.put_nowait(failure)
