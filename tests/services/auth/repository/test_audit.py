"""The audit table: nobody changes what is written, and old rows leave only by the hand of a superuser."""

from contextlib import suppress
from datetime import timedelta

import psycopg
import pytest

from services.auth.domain.audit import AuditEntry, Event
from services.auth.repository.audit import PostgresAuditLog
from shared.errors import ApplicationError
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import AuthServer


@pytest.fixture
def log(auth: AuthServer) -> PostgresAuditLog:
    return auth.services.audit


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'server'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "UPDATE audit SET details = '{}' WHERE false",
        "INSERT INTO audit (audit_id, event, actor) OVERRIDING SYSTEM VALUE VALUES (1, 'x', 'client')"
        " ON CONFLICT (audit_id) DO UPDATE SET event = excluded.event",
    ],
)
async def test_the_services_role_can_only_add(auth: AuthServer, statement: str) -> None:
    await auth.sign_up()
    before = await auth.query("SELECT * FROM audit ORDER BY audit_id")
    assert before
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        await auth.execute(statement)
    assert await auth.query("SELECT * FROM audit ORDER BY audit_id") == before


async def test_an_entry_is_there_only_if_its_effect_is(auth: AuthServer, log: PostgresAuditLog) -> None:
    with suppress(ApplicationError):
        async with auth.database.transaction():
            await log.write(AuditEntry(Event.LOGGED_OUT, new_id()))
            raise ApplicationError("the effect fails")
    assert await log.read(event=Event.LOGGED_OUT) == []


async def test_the_latest_entries_oldest_first(auth: AuthServer, log: PostgresAuditLog) -> None:
    alice, bob = new_id(), new_id()
    for number in range(4):
        await log.write(AuditEntry(Event.REFRESHED, alice, details={"number": str(number)}))
        await log.write(AuditEntry(Event.LOGGED_OUT, bob))
    rows = await log.read(user_id=alice, limit=2)
    assert [row.entry.details for row in rows] == [{"number": "2"}, {"number": "3"}]
    assert rows[0].at < rows[1].at
    assert {row.entry.user_id for row in await log.read(event=Event.LOGGED_OUT)} == {bob}
    assert await log.read(user_id=alice, event=Event.LOGGED_OUT) == []


async def test_who_acts_when_no_request_is_answered(auth: AuthServer, log: PostgresAuditLog) -> None:
    user_id = new_id()
    await log.write(AuditEntry(Event.REFRESHED, user_id))
    (row,) = await log.read(user_id=user_id)
    assert (row.actor, row.address, row.request_id, row.email) == ("server", "", "", "")


async def test_a_superuser_can_remove_old_rows(engines: Engines, auth: AuthServer) -> None:
    """As the operator's page tells it: for one transaction, triggers do not fire; the service goes on."""
    await auth.sign_up()
    await auth.sign_up("bob@example.com")
    (name,) = (await auth.query("SELECT current_database()"))[0]
    (last,) = (await auth.query("SELECT max(audit_id) FROM audit"))[0]
    with psycopg.connect(engines.superuser_url.value, dbname=name, autocommit=True) as superuser:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            superuser.execute("DELETE FROM audit")
        with superuser.transaction():
            superuser.execute("SET LOCAL session_replication_role = replica")
            superuser.execute("DELETE FROM audit WHERE audit_id < %s", [last])
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            superuser.execute("DELETE FROM audit")
    assert [row.audit_id for row in await auth.services.audit.read()] == [last]


async def test_time_is_the_databases(auth: AuthServer, log: PostgresAuditLog) -> None:
    await auth.sign_up()
    (row,) = await log.read(event=Event.SIGNED_UP)
    assert row.at.utcoffset() == timedelta(0)
