"""How often a system's PostgreSQL has waited for its disk, and for whom.

A transaction that must survive a crash of the server waits until the write-ahead log is on disk: one flush,
which several that end at the same moment share. Those that need not survive one leave that to the walwriter,
for whom nobody waits. Each process of the server counts its own, and tells when it has been idle for a while.
"""

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.e2e.system import System

TOLD_SECONDS = 11.0  # an idle process has told all that it has counted (PGSTAT_IDLE_INTERVAL is 10)
SYNCS, SYNC_BYTES = 200, 8_192  # a page of the log

# PostgreSQL 18 and later.
_BY_DATABASE = """
    SELECT datname, sum(fsyncs)::int FROM pg_stat_activity, pg_stat_get_backend_io(pid)
    WHERE object = 'wal' AND datname IS NOT NULL GROUP BY datname"""
_BACKGROUND = """
    SELECT sum(fsyncs)::int FROM pg_stat_io WHERE object = 'wal' AND backend_type <> 'client backend'"""


@dataclass(frozen=True, slots=True)
class Flushes:
    """Since the server's start: for each database's clients, and in the background."""

    by_database: Mapping[str, int]
    background: int

    @property
    def waited_for(self) -> int:
        """By any client."""
        return sum(self.by_database.values())

    def since(self, former: "Flushes") -> "Flushes":
        """What has been added. Clients must have kept their connections meanwhile."""
        by_database = {
            name: each - former.by_database.get(name, 0) for name, each in self.by_database.items()
        }
        return Flushes(by_database, self.background - former.background)


def count_flushes(system: System) -> Flushes:
    """All so far; nobody may be asking the system anything."""
    time.sleep(TOLD_SECONDS)
    with system.superuser() as connection:
        by_database: dict[str, int] = dict(connection.execute(_BY_DATABASE).fetchall())
        (background,) = connection.execute(_BACKGROUND).fetchall()[0]
    return Flushes(by_database, background)


def sync_seconds(folder: Path) -> float:
    """What one costs without a database around it: the median of many, on the disk that `folder` is on."""
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        return median(_sync(file.fileno()) for _ in range(SYNCS))


def _sync(descriptor: int) -> float:
    os.write(descriptor, bytes(SYNC_BYTES))
    began = time.perf_counter()
    os.fdatasync(descriptor)
    return time.perf_counter() - began
