"""Everything at once: each test is a race that an attacker, or a bad network, can start.

However a race falls out, the same things are true afterwards, and those are what is asserted.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from services.auth.domain.audit import Event
from shared.auth.revocation_mirror import RevocationMirror
from shared.config import Secret
from shared.context import Principal
from shared.errors import Conflict
from tests.engines import Engines
from tests.services.auth.conftest import Answer, AuthServer, auth_server
from tests.waiting import eventually

pytestmark = pytest.mark.races

AT_ONCE = 50
ROUNDS = 10
ALICE, BOB = "alice@example.com", "bob@example.com"


@pytest.fixture
async def gateway(engines: Engines, auth: AuthServer) -> AsyncIterator[RevocationMirror]:
    """What a gateway knows of revocations."""
    await auth.revocations.spread()
    async with RevocationMirror(engines.redis_url) as mirror:
        await eventually(mirror.is_fresh)
        yield mirror


async def several_logins(auth: AuthServer, number: int = 3) -> list[Answer]:
    return [await auth.log_in() for _ in range(number)]


async def used(auth: AuthServer, logins: list[Answer]) -> list[Answer]:
    """The user refreshes them all, and logs in some more, at once."""
    refreshes = (auth.refresh(each.document["refresh_token"]) for each in logins)
    return await asyncio.gather(*refreshes, *(auth.log_in() for _ in range(5)))


def succeeded(answers: list[Answer]) -> list[Answer]:
    """Those that gave tokens; no other answer than 401 is right beside them."""
    assert {answer.status for answer in answers} <= {200, 401}
    return [answer for answer in answers if answer.status == 200]


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


async def test_sessions_that_begin_while_all_are_ended_wait_for_nobody_in_a_circle(auth: AuthServer) -> None:
    """A deadlock would be a 503: PostgreSQL ends it by refusing one side."""
    await auth.sign_up()
    principal = auth.claims(await auth.log_in()).principal

    async def log_in_and_refresh() -> set[int]:
        tokens = await auth.log_in()
        return {tokens.status, (await auth.refresh(tokens.document["refresh_token"])).status}

    for _ in range(10):
        logouts = asyncio.gather(*(auth.log_out(principal, "global") for _ in range(4)))
        statuses = await asyncio.gather(*(log_in_and_refresh() for _ in range(8)))
        assert {status for each in statuses for status in each} <= {200, 401}
        assert {answer.status for answer in await logouts} == {204}


async def test_two_auth_servers_share_one_database(engines: Engines, database_url: Secret) -> None:
    async with (
        auth_server(database_url, engines.redis_url) as one,
        auth_server(database_url, engines.redis_url) as other,
    ):
        assert one.services.key_ring.jwks == other.services.key_ring.jwks
        await one.sign_up()
        token = (await other.log_in()).document["refresh_token"]
        servers = [one, other] * (AT_ONCE // 2)
        answers = await asyncio.gather(*(server.refresh(token) for server in servers))
        assert {answer.status for answer in answers} == {200}
        assert len({answer.document["refresh_token"] for answer in answers}) == 1
        assert one.claims(answers[1]).principal != Principal()


async def test_auth_servers_that_start_at_once_make_one_key(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url) as first:
        await first.execute("DELETE FROM signing_keys")
        others = [auth_server(database_url, engines.redis_url) for _ in range(4)]
        opened = await asyncio.gather(*(other.__aenter__() for other in others))
        try:
            assert len({server.services.key_ring.jwks for server in opened}) == 1
            assert await first.query("SELECT count(*) FROM signing_keys") == [(1,)]
        finally:
            for other in others:
                await other.__aexit__(None, None, None)


# Somebody ends a session, or all, while they are in use


async def test_a_refresh_and_the_end_of_its_session_at_once_end_it(
    auth: AuthServer, gateway: RevocationMirror
) -> None:
    """The thief refreshes the moment its owner throws it out: from another session, by the list."""
    await auth.sign_up()
    own = auth.claims(await auth.log_in()).principal
    for _ in range(ROUNDS):
        stolen = await auth.log_in()
        session_id = stolen.document["session_id"]
        refreshed, ended = await asyncio.gather(
            auth.refresh(stolen.document["refresh_token"]),
            auth.call("DELETE", f"/auth/sessions/{session_id}", principal=own),
        )
        assert ended.status == 204
        await eventually(lambda: gateway.refuses(auth.claims(stolen)))  # noqa: B023 - called at once
        for tokens in succeeded([refreshed]):
            assert gateway.refuses(auth.claims(tokens))
            assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
    assert await live_sessions(auth) == 1


async def test_no_session_and_no_token_slips_through_a_lock(
    auth: AuthServer, gateway: RevocationMirror
) -> None:
    """Logins and refreshes run while the operator locks the account."""
    await auth.sign_up()
    administration = auth.services.administration
    for _ in range(ROUNDS):
        tokens = await several_logins(auth)
        answers, _ = await asyncio.gather(used(auth, tokens), administration.lock(ALICE))
        assert await live_sessions(auth) == 0
        issued = [auth.claims(each) for each in (*tokens, *succeeded(answers))]
        await eventually(lambda: all(map(gateway.refuses, issued)))  # noqa: B023 - called at once
        assert (await auth.log_in()).status == 401
        await administration.unlock(ALICE)


async def test_no_token_with_the_old_roles_survives_their_change(
    auth: AuthServer, gateway: RevocationMirror
) -> None:
    """Logins and refreshes run while the operator takes a role away."""
    await auth.sign_up()
    administration = auth.services.administration
    for _ in range(ROUNDS):
        await administration.add_role(ALICE, "support")
        tokens = await several_logins(auth)
        answers, user = await asyncio.gather(used(auth, tokens), administration.remove_role(ALICE, "support"))
        assert user.roles == ("user",)
        assert {answer.status for answer in answers} == {200}
        issued = [auth.claims(each) for each in (*tokens, *answers)]
        powerful = [claims for claims in issued if "support" in claims.roles]
        await eventually(lambda: all(map(gateway.refuses, powerful)))  # noqa: B023 - called at once


# Operators


async def test_no_role_is_lost_when_many_are_given_at_once(auth: AuthServer) -> None:
    await auth.sign_up()
    roles = [f"role-{number}" for number in range(10)]
    await asyncio.gather(*(auth.services.administration.add_role(ALICE, role) for role in roles))
    assert set((await auth.services.administration.account(ALICE)).roles) == {"user", *roles}
    assert len(await auth.services.audit.read(event=Event.ROLES_CHANGED)) == len(roles)


async def test_the_last_two_admins_cannot_be_locked_at_once(auth: AuthServer) -> None:
    administration = auth.services.administration
    for email in (ALICE, BOB):
        await auth.sign_up(email)
        await administration.add_role(email, "admin")
    for _ in range(ROUNDS):
        locked = await asyncio.gather(
            administration.lock(ALICE), administration.lock(BOB), return_exceptions=True
        )
        assert Counter(type(outcome) for outcome in locked) == {int: 1, Conflict: 1}
        await asyncio.gather(administration.unlock(ALICE), administration.unlock(BOB))


async def test_nobody_waits_for_each_other_in_a_circle(auth: AuthServer) -> None:
    """Whatever holds sessions and accounts, all at once: a deadlock would show as 503."""
    await auth.sign_up()
    administration = auth.services.administration
    for _ in range(ROUNDS):
        tokens = await several_logins(auth, 4)
        principals = [auth.claims(each).principal for each in tokens]
        answers = await asyncio.gather(
            *(auth.refresh(each.document["refresh_token"]) for each in tokens),
            *(auth.log_in() for _ in range(4)),
            auth.log_out(principals[0], "others"),
            auth.log_out(principals[1], "global"),
            auth.call("DELETE", f"/auth/sessions/{principals[2].session_id}", principal=principals[3]),
            auth.call("GET", "/auth/sessions", principal=principals[3]),
            administration.add_role(ALICE, "support"),
            administration.remove_role(ALICE, "support"),
            administration.lock(ALICE),
        )
        assert {answer.status for answer in answers if isinstance(answer, Answer)} <= {200, 204, 401}
        await administration.unlock(ALICE)
