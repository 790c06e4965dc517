from datetime import timedelta

from services.auth.upkeep import KeyUpkeep
from shared.auth.revocation_store import SIGNING_KEYS_CHANGED
from tests.services.auth.conftest import AuthServer


async def test_gateways_are_told_of_other_keys_once(auth: AuthServer) -> None:
    keep = KeyUpkeep(auth.services.key_supply, auth.services.key_ring, auth.store)

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
    await auth.services.stored.sessions.erase_sealed_successors(timedelta(seconds=10))
    assert await auth.query(sealed) == [(1,)]
    await auth.services.stored.sessions.erase_sealed_successors(timedelta(0))
    assert await auth.query(sealed) == [(0,)]


async def test_only_what_is_over_is_dropped(auth: AuthServer) -> None:
    await auth.sign_up()
    for _ in range(2):
        await auth.log_out(auth.claims(await auth.log_in()).principal)
    await auth.services.stored.sessions.drop_expired()
    await auth.services.stored.revocations.drop_expired()
    assert await auth.query("SELECT count(*) FROM revocations") == [(2,)]
    oldest = "(SELECT session_id FROM sessions ORDER BY session_id LIMIT 1)"
    await auth.execute(
        f"UPDATE sessions SET expires_at = now() - interval '31 days' WHERE session_id = {oldest}"
    )
    await auth.execute(f"UPDATE revocations SET expires_at = now() WHERE name = {oldest}::text")
    await auth.services.stored.sessions.drop_expired()
    await auth.services.stored.revocations.drop_expired()
    assert await auth.query("SELECT count(*) FROM revocations") == [(1,)]
    assert await auth.query("SELECT count(*) FROM sessions") == [(1,)]
    assert await auth.query("SELECT count(*) FROM refresh_tokens") == [(1,)]
