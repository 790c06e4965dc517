import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from shared.config import CHECKOUT, Secret
from shared.db.migrations import Migration, MigrationError, migrate, pending, read_migrations
from shared.db.pool import Connection, connect

Write = Callable[..., Path]


@pytest.fixture
async def connection(url: Secret) -> AsyncIterator[Connection]:
    async with await connect(url) as opened:
        yield opened


async def _tables(connection: Connection) -> set[str]:
    cursor = await connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {name for (name,) in await cursor.fetchall()}


def test_files_are_read_in_order_of_their_names(migrations: Write) -> None:
    folder = migrations(**{"0010_c": "SELECT 3", "0001_a": "SELECT 1", "0002_b": "SELECT 2"})
    assert [each.name for each in read_migrations(folder)] == ["0001_a.sql", "0002_b.sql", "0010_c.sql"]


@pytest.mark.parametrize("name", ["1_a", "0001-a", "0001_A", "create_things"])
def test_a_name_without_a_place_in_the_order_is_an_error(migrations: Write, name: str) -> None:
    with pytest.raises(MigrationError, match=name):
        read_migrations(migrations(**{name: "SELECT 1"}))


def test_two_files_with_one_number_are_an_error(migrations: Write) -> None:
    with pytest.raises(MigrationError, match=r"0001_b\.sql: 0001_a\.sql has the same number"):
        read_migrations(migrations(**{"0001_a": "SELECT 1", "0001_b": "SELECT 2"}))


def test_what_a_newer_process_has_applied_is_no_error() -> None:
    first = Migration("0001_a.sql", b"SELECT 1")
    assert pending([first], {"0001_a.sql": first.checksum, "0002_b.sql": "whatever"}) == []


def test_a_file_that_comes_too_late_is_an_error() -> None:
    late, latest = Migration("0001_a.sql", b"SELECT 1"), Migration("0002_b.sql", b"SELECT 2")
    with pytest.raises(MigrationError, match=r"0001_a\.sql"):
        pending([late, latest], {"0002_b.sql": latest.checksum})


async def test_each_file_is_applied_once_and_may_hold_several_statements(
    connection: Connection, migrations: Write
) -> None:
    folder = migrations(**{"0001_a": "CREATE TABLE a (id int); CREATE TABLE b (id int); -- 100 %s"})
    assert await migrate(connection, read_migrations(folder)) == ["0001_a.sql"]
    folder = migrations(**{"0002_c": "CREATE TABLE c (id int)"})
    assert await migrate(connection, read_migrations(folder)) == ["0002_c.sql"]
    assert await migrate(connection, read_migrations(folder)) == []
    assert await _tables(connection) == {"a", "b", "c", "schema_migrations"}


async def test_a_changed_file_is_an_error_that_names_it(connection: Connection, migrations: Write) -> None:
    await migrate(connection, read_migrations(migrations(**{"0001_a": "CREATE TABLE a (id int)"})))
    folder = migrations(**{"0001_a": "CREATE TABLE a (id bigint)", "0002_b": "CREATE TABLE b (id int)"})
    with pytest.raises(MigrationError, match=r"0001_a\.sql: was changed"):
        await migrate(connection, read_migrations(folder))
    assert "b" not in await _tables(connection)


async def test_a_failing_file_leaves_nothing_and_keeps_those_before(
    connection: Connection, migrations: Write
) -> None:
    broken = "CREATE TABLE half (id int); SELECT no_such_column"
    folder = migrations(**{"0001_a": "CREATE TABLE a (id int)", "0002_b": broken})
    with pytest.raises(MigrationError, match=r"0002_b\.sql: .*no_such_column"):
        await migrate(connection, read_migrations(folder))
    assert await _tables(connection) == {"a", "schema_migrations"}


_MIGRATE = """
import asyncio, sys
from pathlib import Path
from shared.config import Secret
from shared.db.migrations import migrate, read_migrations
from shared.db.pool import connect

async def main():
    async with await connect(Secret(sys.argv[1])) as connection:
        print(*await migrate(connection, read_migrations(Path(sys.argv[2]))))

asyncio.run(main())
"""


async def test_processes_that_start_at_once_apply_each_file_once(url: Secret, migrations: Write) -> None:
    slow = "SELECT pg_sleep(0.2)"  # keeps the lock long enough for the others to meet it
    folder = migrations(
        **{f"000{n}_t{n}": f"{slow}; CREATE TABLE t{n} AS SELECT {n} AS id" for n in range(1, 4)}
    )
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _MIGRATE,
            url.value,
            str(folder),
            cwd=CHECKOUT,
            stdout=asyncio.subprocess.PIPE,
        )
        for _ in range(3)
    ]
    outputs = await asyncio.gather(*(process.communicate() for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0]
    applied = " ".join(output.decode() for output, _ in outputs).split()
    assert sorted(applied) == ["0001_t1.sql", "0002_t2.sql", "0003_t3.sql"]
