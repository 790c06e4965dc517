"""Revocations that the store has not got yet, on a real database."""

from services.auth.domain.revocations import RevokedKind
from services.auth.repository import revocations
from tests.services.auth.conftest import AuthServer

OTHER_SESSIONS = b"""
    INSERT INTO sessions (session_id, user_id, device, address, expires_at, ends_by, ended_at, end_reason)
    SELECT gen_random_uuid(), user_id, '', '', now() + '1 day', now() + '1 day', now(), 'logged out'
    FROM users, generate_series(1, 5000)"""


async def test_what_is_unsent_of_one_user(auth: AuthServer) -> None:
    stored = auth.services.stored.revocations
    for email in ("alice@example.com", "bob@example.com"):
        await auth.sign_up(email)
        await auth.log_in(email)
    rows = await auth.query(
        "SELECT user_id, session_id FROM users JOIN sessions USING (user_id) ORDER BY email"
    )
    (alice, alices), (bob, bobs) = rows
    await stored.revoke(RevokedKind.SESSION, [alices, bobs])
    await stored.revoke(RevokedKind.USER, [alice])
    await stored.revoke(RevokedKind.KEY, ["some key, whose name is no UUID"])
    of_bob = await stored.unsent_of_user(bob)
    assert {each.name for each in of_bob} == {str(bobs)}
    assert {each.name for each in await stored.unsent_of_user(alice)} == {str(alice), str(alices)}
    await stored.mark_stored(of_bob)
    assert await stored.unsent_of_user(bob) == []


async def test_that_does_not_read_every_session(auth: AuthServer) -> None:
    """Every logout asks: it must not become slower with every session that there has ever been."""
    await auth.sign_up()
    async with auth.database.connection() as connection:
        await connection.execute(OTHER_SESSIONS)
        await connection.execute(b"ANALYZE sessions")
        (user_id,) = (await (await connection.execute(b"SELECT user_id FROM users")).fetchall())[0]
        plan = await connection.execute("EXPLAIN " + revocations._UNSENT_OF_USER, [user_id])
        lines = [line for (line,) in await plan.fetchall()]
    assert any("sessions_pkey" in line for line in lines)
    assert not any("Seq Scan on sessions" in line for line in lines)
