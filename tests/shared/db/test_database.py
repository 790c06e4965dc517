import asyncio
import logging
import os
import secrets
import select
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from shared.config import ConfigError, Secret
from shared.db import database as database_module
from shared.db import pool as pool_module
from shared.db.database import Database
from shared.db.pool import Connection, ConnectionPool, database_errors
from shared.errors import Invalid, Unavailable
from shared.observability import metrics
from shared.runtime import NeedsOperator
from tests.shared.db.own_postgres import OwnPostgres
from tests.waiting import eventually

Write = Callable[..., Path]

NOTES = {"0001_notes": "CREATE TABLE notes (text text PRIMARY KEY)"}
DEADLINE_SECONDS = 20.0


@asynccontextmanager
async def opened(url: Secret, folder: Path, **options: int) -> AsyncIterator[Database]:
    async with Database(url, folder, **options) as database:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await database.wait_until_migrated()
        yield database


@pytest.fixture
async def database(url: Secret, migrations: Write) -> AsyncIterator[Database]:
    async with opened(url, migrations(**NOTES)) as database:
        yield database


async def _write(database: Database, text: str) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO notes VALUES (%s)", [text])


async def _notes(database: Database) -> list[str]:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT text FROM notes ORDER BY text")
        return [text for (text,) in await cursor.fetchall()]


async def _until_it_works(database: Database) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            try:
                await database.check()
            except Unavailable:
                await asyncio.sleep(0.02)  # between looks at a condition
            else:
                return


class Boom(Exception): ...


async def test_a_transaction_commits_when_its_block_ends(database: Database) -> None:
    await _write(database, "kept")
    assert await _notes(database) == ["kept"]


async def test_a_transaction_rolls_back_when_its_block_fails(database: Database) -> None:
    async def write_and_fail() -> None:
        async with database.transaction():
            await _write(database, "gone")
            raise Boom

    with pytest.raises(Boom):
        await write_and_fail()
    assert await _notes(database) == []


async def test_inner_calls_join_the_transaction(database: Database) -> None:
    async with database.transaction() as outer:
        async with database.transaction() as inner, database.connection() as single:
            assert inner is outer
            assert single is outer
        await _write(database, "seen inside")
        assert await _notes(database) == ["seen inside"]
    assert await _notes(database) == ["seen inside"]


async def test_a_caught_failure_of_a_joined_block_still_fails_the_whole(database: Database) -> None:
    await _write(database, "a")

    async def fail_and_go_on() -> None:
        async with database.transaction():
            with pytest.raises(psycopg.errors.UniqueViolation):
                await _write(database, "a")
            await _write(database, "b")

    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        await fail_and_go_on()
    assert await _notes(database) == ["a"]


async def test_a_task_spawned_inside_has_a_transaction_of_its_own(database: Database) -> None:
    async def spawn_and_fail() -> None:
        async with database.transaction():
            await asyncio.create_task(_write(database, "by another task"))
            raise Boom

    with pytest.raises(Boom):
        await spawn_and_fail()
    assert await _notes(database) == ["by another task"]


async def test_a_single_statement_commits_by_itself(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO notes VALUES ('single')")
    assert await _notes(database) == ["single"]


async def test_a_rule_broken_in_the_database_is_not_translated(database: Database) -> None:
    await _write(database, "twice")
    with pytest.raises(psycopg.errors.UniqueViolation):
        await _write(database, "twice")


async def test_two_databases_do_not_join_each_other(
    database: Database, own_postgres: OwnPostgres, migrations: Write
) -> None:
    other_url = own_postgres.create_database(f"test_{secrets.token_hex(6)}")
    async with (
        opened(other_url, migrations()) as other,
        database.transaction() as first,
        other.transaction() as second,
    ):
        assert first is not second


async def test_times_come_back_in_utc(database: Database) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT '2024-05-01T12:00:00+09:00'::timestamptz::text")
        assert await cursor.fetchone() == ("2024-05-01 03:00:00+00",)


async def test_the_pool_is_bounded_and_so_is_the_wait(url: Secret, migrations: Write) -> None:
    async with opened(url, migrations(**NOTES), pool_size=2) as database:
        async with _two_held_connections(database):
            assert _pool_metric("in_use") == 2
            with pytest.raises(Unavailable) as refused:
                await _notes(database)
            assert refused.value.retry_after is not None
            assert isinstance(refused.value.__cause__, psycopg.OperationalError)
        assert await _notes(database) == []


@asynccontextmanager
async def _two_held_connections(database: Database) -> AsyncIterator[None]:
    async with database.connection() as first, database.connection() as second:
        assert first is not second
        yield


def _pool_metric(state: str) -> float:
    (family,) = metrics.DATABASE_POOL.collect()
    return next(sample.value for sample in family.samples if sample.labels == {"state": state})


@pytest.mark.usefixtures("patient")
async def test_idle_connections_that_the_server_has_closed_are_replaced_unseen(database: Database) -> None:
    await asyncio.gather(*(_write(database, str(n)) for n in range(20)))  # fills the pool
    async with database.connection() as connection:
        await connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(await asyncio.gather(*(_notes(database) for _ in range(20)))) == 20


async def test_a_killed_server_is_unavailable_and_then_found_again(
    database: Database, own_postgres: OwnPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "shared.db")
    await asyncio.gather(*(_write(database, f"committed {n}") for n in range(10)))
    own_postgres.kill()
    try:
        writes = (_write(database, "never") for _ in range(3))
        for refused in await asyncio.gather(*writes, return_exceptions=True):
            assert isinstance(refused, Unavailable)
            assert refused.retry_after
        await _until_reason(database, "refused")
    finally:
        await asyncio.to_thread(own_postgres.start)
    await _until_it_works(database)
    assert await _notes(database) == [f"committed {n}" for n in range(10)]
    await eventually(lambda: _works_again(database, caplog))
    assert _said(caplog) == ["database fails", "database works again"]
    assert vars(caplog.records[0])["detail"]


async def _works_again(database: Database, caplog: pytest.LogCaptureFixture) -> bool:
    await database.check()
    return "database works again" in _said(caplog)


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.name == "shared.db.database"]


async def test_a_server_killed_in_the_middle_of_a_transaction_is_unavailable(
    database: Database, own_postgres: OwnPostgres
) -> None:
    async def write_around_the_kill() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO notes VALUES ('half')")
            own_postgres.kill()
            await connection.execute("INSERT INTO notes VALUES ('other half')")

    try:
        with pytest.raises(Unavailable) as refused:
            await write_around_the_kill()
        assert isinstance(refused.value.__cause__, psycopg.OperationalError)
    finally:
        await asyncio.to_thread(own_postgres.start)
    await _until_it_works(database)
    assert await _notes(database) == []


async def test_a_server_that_is_away_at_the_start_is_waited_for(
    url: Secret, migrations: Write, own_postgres: OwnPostgres, caplog: pytest.LogCaptureFixture
) -> None:
    own_postgres.stop()
    try:
        async with Database(url, migrations(**NOTES)) as database:
            with pytest.raises(Unavailable, match="not ready yet"):
                await _notes(database)
            await _until_reason(database, "refused")
            await asyncio.to_thread(own_postgres.start)
            await _until_it_works(database)
            assert await _notes(database) == []
    finally:
        if own_postgres.is_stopped:
            own_postgres.start()
    assert url.value not in caplog.text
    assert own_postgres.password not in caplog.text


async def test_readiness_names_the_migration_that_is_wrong(url: Secret, migrations: Write) -> None:
    async with opened(url, migrations(**NOTES)):
        pass
    folder = migrations(**{"0001_notes": "CREATE TABLE notes (other text)"})
    async with Database(url, folder) as database:
        await _until_reason(database, "0001_notes.sql: was changed")
        with pytest.raises(NeedsOperator):
            await database.check()
        migrations(**NOTES)
        await _until_it_works(database)


async def _until_reason(database: Database, reason: str) -> None:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            with pytest.raises(Unavailable) as refused:
                await database.check()
            if reason in refused.value.detail:
                return
            await asyncio.sleep(0.02)  # between looks at a condition


# Why it fails, for the log


FULL_DISK = """
    CREATE TABLE notes (text text PRIMARY KEY);
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE 'could not extend file: No space left on device'
                USING ERRCODE = '53100', DETAIL = 'the row: ' || NEW.text;
        END $$;
    CREATE TRIGGER full_disk BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION refuse();
"""


async def test_a_full_disk_is_said_once_and_not_what_was_written(
    url: Secret, migrations: Write, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(url, migrations(**{"0001_notes": FULL_DISK})) as database:
        for _ in range(3):
            with pytest.raises(Unavailable):
                await _write(database, "swordfish")
            assert await _notes(database) == [], "reads go on"
    (record,) = (record for record in caplog.records if record.name == "shared.db.database")
    assert record.levelname == "WARNING"
    assert (vars(record)["reason"], vars(record)["detail"]) == (
        "SQLSTATE 53100",
        "could not extend file: No space left on device",
    )
    assert "swordfish" not in str(vars(record))


async def test_a_database_that_only_reads_is_unavailable_to_writers(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async def write_read_only() -> None:
        async with database.transaction() as connection:
            await connection.execute("SET TRANSACTION READ ONLY")  # what a replica does by itself
            await connection.execute("INSERT INTO notes VALUES ('never')")

    with pytest.raises(Unavailable):
        await write_read_only()
    assert vars(caplog.records[-1])["reason"] == "SQLSTATE 25006"


async def test_a_role_without_connections_left_is_named(
    own_postgres: OwnPostgres, migrations: Write, caplog: pytest.LogCaptureFixture
) -> None:
    url = own_postgres.create_database_of_a_role(f"test_{secrets.token_hex(6)}", connections=2)
    async with opened(url, migrations(**NOTES)) as database:
        await _until_it_works(database)
        async with _two_held_connections(database):
            with pytest.raises(Unavailable):
                await _notes(database)
            await _until_reason(database, "too many connections for role")
        assert await _notes(database) == []
    details = [vars(record)["detail"] for record in caplog.records if record.message == "database fails"]
    assert len(details) == 1


@pytest.mark.parametrize("url_text", ["postgresql://u:pa%zz@h/d", "postgresql://u:hunter2@h/d?bogus=1"])
def test_a_url_that_cannot_be_read_is_not_shown(url_text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        Database(Secret(url_text), tmp_path)
    assert "pa%zz" not in str(refused.value)
    assert "hunter2" not in str(refused.value)


async def test_a_connection_whose_server_says_nothing_for_too_long_is_cut(url: Secret) -> None:
    pool = ConnectionPool(url, 2, held_seconds=1.0)
    async with pool:
        async with asyncio.timeout(DEADLINE_SECONDS):
            with pytest.raises(Unavailable), database_errors():
                async with pool.connection() as connection:
                    await connection.execute("SELECT pg_sleep(60)")
            async with pool.connection() as connection:
                await connection.execute("SELECT 1")


async def test_a_value_that_postgresql_cannot_take_is_invalid(database: Database) -> None:
    with pytest.raises(Invalid):
        await _write(database, "NUL \0 inside")


async def test_after_a_commit_is_after_the_outermost_one(database: Database) -> None:
    acts: list[str] = []
    async with database.transaction():
        async with database.transaction():
            await _write(database, "kept")
            database.after_commit(lambda: acts.append("inner"))
        assert acts == []
    assert acts == ["inner"]


async def test_nothing_comes_after_a_commit_that_there_was_not(database: Database) -> None:
    acts: list[str] = []

    async def act_and_fail() -> None:
        async with database.transaction():
            database.after_commit(lambda: acts.append("never"))
            raise Boom

    with pytest.raises(Boom):
        await act_and_fail()
    assert acts == []


async def test_without_a_transaction_after_the_commit_is_now(database: Database) -> None:
    acts: list[str] = []
    database.after_commit(lambda: acts.append("now"))
    assert acts == ["now"]


async def test_a_session_is_the_blocks_own_and_goes_with_it(database: Database) -> None:
    holders = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711"
    async with database.session() as session:
        await session.execute("SELECT pg_advisory_lock(4711)")
        async with database.connection() as connection:
            assert await (await connection.execute(holders)).fetchone() == (1,)

    async def is_free() -> bool:
        async with database.connection() as connection:
            return await (await connection.execute(holders)).fetchone() == (0,)

    await eventually(is_free)


async def test_a_transaction_whose_holder_is_frozen_is_undone(
    url: Secret, migrations: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "HELD_SECONDS", 0.2)  # to the server; our own cut comes later

    async def dawdle(database: Database) -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO notes VALUES ('gone')")
            await eventually(lambda: has_hung_up(connection))
            await connection.execute("SELECT 1")

    async with opened(url, migrations(**NOTES)) as database:
        with pytest.raises(Unavailable):
            await dawdle(database)
        assert await _notes(database) == []


def has_hung_up(connection: Connection) -> bool:
    """Whether the server has, by a look at the link that takes nothing from it."""
    with socket.socket(fileno=os.dup(connection.fileno())) as link:
        poll = select.poll()
        poll.register(link, select.POLLRDHUP)
        return bool(poll.poll(0))


async def test_a_session_whose_holder_is_frozen_is_ended(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_OWN_SESSION", b"SET idle_session_timeout = '100ms'")

    async def dawdle() -> None:
        async with database.session() as session:
            async with database.connection() as connection:
                backend = session.info.backend_pid
                gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)"
                await eventually(lambda: _is(connection, gone, backend))
            await session.execute("SELECT 1")

    with pytest.raises(Unavailable):
        await dawdle()


async def _is(connection: Connection, query: str, value: int) -> bool:
    row = await (await connection.execute(query.encode(), [value])).fetchone()
    return row == (True,)
