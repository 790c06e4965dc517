import asyncio
from datetime import timedelta

import pytest

from services.auth import upkeep
from services.auth.upkeep import Duty, KeyUpkeep, repeatedly
from shared.auth.revocation_store import SIGNING_KEYS_CHANGED
from shared.errors import Unavailable
from shared.tasks import background
from tests.services.auth.conftest import AuthServer


async def test_no_failure_ends_the_upkeep(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "RETRY_SECONDS", 0.001)
    outcomes = [None, Unavailable("away"), Unavailable("away"), ZeroDivisionError(), None]
    done = asyncio.Event()

    async def work() -> None:
        if not outcomes:
            done.set()
            return
        if (outcome := outcomes.pop(0)) is not None:
            raise outcome

    with caplog.at_level("INFO"):
        async with background(repeatedly(Duty("test", work, 0.001)), "test"), asyncio.timeout(5):
            await done.wait()
    messages = [record.getMessage() for record in caplog.records if record.name == upkeep.__name__]
    assert messages == ["upkeep fails", "upkeep fails unexpectedly", "upkeep fails", "upkeep works again"]


async def test_gateways_are_told_of_other_keys_once(auth: AuthServer) -> None:
    keep = KeyUpkeep(auth.parts.keys, auth.store)

    async def announced() -> object:
        await keep()
        return await auth.store._client.get(SIGNING_KEYS_CHANGED)

    first = await announced()
    assert first
    assert await announced() == first
    await auth.execute("UPDATE signing_keys SET signs_until = now()")
    assert await announced() != first


async def test_lost_answers_are_forgotten_after_the_grace(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.refresh((await auth.log_in()).document["refresh_token"])
    sealed = "SELECT count(*) FROM refresh_tokens WHERE sealed_successor IS NOT NULL"
    await auth.parts.stored_sessions.erase_sealed_successors(timedelta(seconds=10))
    assert await auth.query(sealed) == [(1,)]
    await auth.parts.stored_sessions.erase_sealed_successors(timedelta(0))
    assert await auth.query(sealed) == [(0,)]


async def test_only_what_is_over_is_dropped(auth: AuthServer) -> None:
    await auth.sign_up()
    for _ in range(2):
        await auth.log_out(auth.claims(await auth.log_in()).principal)
    await auth.parts.stored_sessions.drop_expired()
    await auth.parts.stored_revocations.drop_expired()
    assert await auth.query("SELECT count(*) FROM revocations") == [(2,)]
    oldest = "(SELECT session_id FROM sessions ORDER BY session_id LIMIT 1)"
    await auth.execute(
        f"UPDATE sessions SET expires_at = now() - interval '31 days' WHERE session_id = {oldest}"
    )
    await auth.execute(f"UPDATE revocations SET expires_at = now() WHERE name = {oldest}::text")
    await auth.parts.stored_sessions.drop_expired()
    await auth.parts.stored_revocations.drop_expired()
    assert await auth.query("SELECT count(*) FROM revocations") == [(1,)]
    assert await auth.query("SELECT count(*) FROM sessions") == [(1,)]
    assert await auth.query("SELECT count(*) FROM refresh_tokens") == [(1,)]
