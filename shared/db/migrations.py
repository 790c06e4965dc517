"""Plain SQL migrations: `0001_create_products.sql`, `0002_…`, each applied once, in order.

Each file is one transaction together with its row in `schema_migrations`. An advisory lock, held by that
transaction, lets any number of processes start at once: one applies a file, the others then find it applied.
A file is never edited after it has been applied (its checksum is kept): a further change is a further file.
An applied migration that we have no file for is no error: an older process may restart beside a newer one.
"""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import psycopg

from shared.db.pool import Connection, one_line

_NAME = re.compile(r"\d{4}_[a-z0-9_]+\.sql")
# SQL that cannot be read, that does not fit the schema, or that the rows at hand contradict.
FAULTY = (psycopg.ProgrammingError, psycopg.IntegrityError, psycopg.DataError)
_LOCK = 0x706C61696E  # any number, the same in every process

_CREATE_TABLE = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text        PRIMARY KEY,
        checksum   text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )"""


class MigrationError(Exception):
    """A file is at fault, or contradicts the database; the message names it. Trying again will not help."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: its name, which is also its place in the order, and its SQL."""

    name: str
    sql: bytes

    @property
    def number(self) -> str:
        """The four digits that the name starts with."""
        return self.name[:4]

    @property
    def checksum(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.sql).hexdigest()


def read_migrations(folder: Path) -> list[Migration]:
    """The migrations in `folder`, in order. Raises MigrationError for a name that has no place in it."""
    migrations = [Migration(path.name, path.read_bytes()) for path in sorted(folder.glob("*.sql"))]
    seen: dict[str, str] = {}
    for each in migrations:
        if not _NAME.fullmatch(each.name):
            raise MigrationError(f"{each.name}: a migration is named like 0001_create_things.sql")
        if each.number in seen:
            raise MigrationError(f"{each.name}: {seen[each.number]} has the same number")
        seen[each.number] = each.name
    return migrations


def pending(migrations: list[Migration], applied: dict[str, str]) -> list[Migration]:
    """Those not yet in `applied` (name → checksum). Raises MigrationError for a changed or a late file."""
    latest = max(applied, default="")
    for each in migrations:
        if each.name in applied and applied[each.name] != each.checksum:
            raise MigrationError(f"{each.name}: was changed after it had been applied; write a new migration")
        if each.name not in applied and each.name < latest:
            raise MigrationError(f"{each.name}: comes too late, {latest} has been applied already")
    return [each for each in migrations if each.name not in applied]


async def migrate(connection: Connection, migrations: list[Migration]) -> list[str]:
    """Apply what is missing over an autocommit `connection`; the names of what was applied.

    Raises MigrationError (the files before the one at fault stay applied), or psycopg.Error.
    """
    done = []
    while (name := await _apply_next(connection, migrations)) is not None:
        done.append(name)
    return done


async def _apply_next(connection: Connection, migrations: list[Migration]) -> str | None:
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        await connection.execute(_CREATE_TABLE)
        cursor = await connection.execute("SELECT name, checksum FROM schema_migrations")
        missing = pending(migrations, dict(await cursor.fetchall()))
        if not missing:
            return None
        await _execute(connection, missing[0])
        await connection.execute(
            "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)",
            [missing[0].name, missing[0].checksum],
        )
        return missing[0].name


async def _execute(connection: Connection, migration: Migration) -> None:
    try:
        await connection.execute(migration.sql)
    except FAULTY as failure:
        raise MigrationError(f"{migration.name}: {one_line(failure)}") from failure
