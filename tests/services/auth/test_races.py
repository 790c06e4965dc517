"""Everything at once: each test is a race that an attacker, or a bad network, can start."""

import asyncio
from collections import Counter

from shared.context import Principal
from tests.engines import Engines
from tests.services.auth.conftest import AuthServer, auth_server

AT_ONCE = 50


async def live_sessions(auth: AuthServer) -> int:
    return int((await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL"))[0][0])


async def test_parallel_signups_make_one_account(auth: AuthServer) -> None:
    answers = await asyncio.gather(*(auth.sign_up() for _ in range(10)))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 9}


async def test_parallel_refreshes_give_one_successor_and_one_live_session(auth: AuthServer) -> None:
    await auth.sign_up()
    token = (await auth.log_in()).document["refresh_token"]
    answers = await asyncio.gather(*(auth.refresh(token) for _ in range(AT_ONCE)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.document["refresh_token"] for answer in answers}) == 1
    assert await live_sessions(auth) == 1
    assert await auth.query("SELECT count(*) FROM refresh_tokens") == [(2,)]
    assert (await auth.refresh(answers[0].document["refresh_token"])).status == 200


async def test_parallel_reuse_ends_the_session_once(auth: AuthServer) -> None:
    await auth.sign_up()
    token = (await auth.log_in()).document["refresh_token"]
    await auth.refresh((await auth.refresh(token)).document["refresh_token"])
    answers = await asyncio.gather(*(auth.refresh(token) for _ in range(AT_ONCE)))
    assert {answer.status for answer in answers} == {401}
    assert await live_sessions(auth) == 0
    assert await auth.query("SELECT count(*) FROM revocations") == [(1,)]


async def test_a_refresh_and_a_logout_at_once_end_logged_out(auth: AuthServer) -> None:
    await auth.sign_up()
    for _ in range(20):
        tokens = await auth.log_in()
        principal = auth.claims(tokens).principal
        refreshed, logged_out = await asyncio.gather(
            auth.refresh(tokens.document["refresh_token"]), auth.log_out(principal)
        )
        assert logged_out.status == 204
        assert refreshed.status in {200, 401}
        assert await live_sessions(auth) == 0
        if refreshed.status == 200:
            assert (await auth.refresh(refreshed.document["refresh_token"])).status == 401


async def test_no_session_slips_through_a_global_logout(auth: AuthServer) -> None:
    """Logins and refreshes run while everything is logged out; whatever is alive afterwards is later."""
    await auth.sign_up()
    for _ in range(5):
        tokens = [await auth.log_in() for _ in range(3)]
        principal = auth.claims(tokens[0]).principal
        answers = await asyncio.gather(
            *(auth.log_in() for _ in range(5)),
            *(auth.refresh(each.document["refresh_token"]) for each in tokens),
            auth.log_out(principal, "global"),
        )
        assert answers[-1].status == 204
        ended_at = "(SELECT max(ended_at) FROM sessions)"
        survivors = f"SELECT count(*) FROM sessions WHERE ended_at IS NULL AND created_at < {ended_at}"
        assert await auth.query(survivors) == [(0,)]
        for each in tokens:
            assert (await auth.refresh(each.document["refresh_token"])).status == 401
        await auth.log_out(principal, "global")
        assert await live_sessions(auth) == 0


async def test_two_auth_servers_share_one_database(engines: Engines) -> None:
    url = engines.new_database()
    async with auth_server(url, engines.redis_url) as one, auth_server(url, engines.redis_url) as other:
        assert one.parts.keys.jwks == other.parts.keys.jwks
        await one.sign_up()
        token = (await other.log_in()).document["refresh_token"]
        servers = [one, other] * (AT_ONCE // 2)
        answers = await asyncio.gather(*(server.refresh(token) for server in servers))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.document["refresh_token"] for answer in answers}) == 1
        assert one.claims(answers[1]).principal != Principal()


async def test_auth_servers_that_start_at_once_make_one_key(engines: Engines) -> None:
    url = engines.new_database()
    async with auth_server(url, engines.redis_url) as first:
        await first.execute("DELETE FROM signing_keys")
        others = [auth_server(url, engines.redis_url) for _ in range(4)]
        opened = await asyncio.gather(*(other.__aenter__() for other in others))
        try:
            assert len({server.parts.keys.jwks for server in opened}) == 1
            assert await first.query("SELECT count(*) FROM signing_keys") == [(1,)]
        finally:
            for other in others:
                await other.__aexit__(None, None, None)
