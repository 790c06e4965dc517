"""Refreshing, as a client sees it."""

import time

import pytest

from shared.auth import jwt
from shared.auth.jwk import ALGORITHMS
from shared.config import Secret
from tests.engines import Engines
from tests.services.auth.conftest import TOKENS, AuthServer, auth_server, problem


async def test_every_refresh_gives_a_new_pair_of_the_same_session(auth: AuthServer) -> None:
    await auth.sign_up()
    answer = first = await auth.log_in()
    for _ in range(3):
        before, answer = answer, await auth.refresh(answer.document["refresh_token"])
        assert answer.status == 200
        assert answer.headers.get("cache-control") == "no-store"
        assert answer.document["session_id"] == first.document["session_id"]
        assert answer.document["refresh_token"] != before.document["refresh_token"]
        assert auth.claims(answer).token_id != auth.claims(before).token_id


async def test_a_lost_answer_is_given_again(auth: AuthServer) -> None:
    await auth.sign_up()
    lost = (await auth.log_in()).document["refresh_token"]
    first, again = await auth.refresh(lost), await auth.refresh(lost)
    assert again.status == 200
    assert again.document["refresh_token"] == first.document["refresh_token"]
    assert (await auth.refresh(again.document["refresh_token"])).status == 200


async def test_the_successor_is_kept_only_sealed(auth: AuthServer) -> None:
    await auth.sign_up()
    presented = (await auth.log_in()).document["refresh_token"]
    successor = (await auth.refresh(presented)).document["refresh_token"]
    kept = str(await auth.query("SELECT * FROM refresh_tokens"))
    assert presented.rpartition(".")[2] not in kept
    assert successor.rpartition(".")[2] not in kept


async def test_reuse_after_the_successor_was_used_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    stolen = await auth.log_in()
    second = await auth.refresh(stolen.document["refresh_token"])
    third = await auth.refresh(second.document["refresh_token"])
    answer = await auth.refresh(stolen.document["refresh_token"])
    assert (answer.status, problem(answer)) == (401, "invalid-token")
    assert "invalid_token" in str(answer.headers.get("www-authenticate"))
    assert (await auth.refresh(third.document["refresh_token"])).status == 401
    assert await auth.query("SELECT end_reason FROM sessions") == [("refresh token used twice",)]
    assert await auth.query("SELECT kind, name FROM revocations WHERE stored_at IS NOT NULL") == [
        ("sid", stolen.document["session_id"])
    ]


async def test_reuse_after_the_grace_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    old = (await auth.log_in()).document["refresh_token"]
    await auth.refresh(old)
    await auth.execute("UPDATE refresh_tokens SET used_at = used_at - interval '11 seconds'")
    assert (await auth.refresh(old)).status == 401
    assert await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(0,)]


async def test_an_idle_session_expires_and_a_used_one_ends_some_day(
    engines: Engines, database_url: Secret
) -> None:
    lifetimes = {"SESSION_IDLE_SECONDS": "300", "SESSION_SECONDS": "400"}
    async with auth_server(database_url, engines.redis_url, **lifetimes) as auth:
        await auth.sign_up()
        tokens = await auth.log_in()
        assert tokens.document["expires_in"] == 300  # no longer than the session
        await auth.execute("UPDATE sessions SET expires_at = now()")
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
        await auth.execute(
            "UPDATE sessions SET expires_at = now() + interval '1 min', ends_by = now() + interval '2 min'"
        )
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 200
        assert await auth.query("SELECT expires_at = ends_by FROM sessions") == [(True,)]


async def test_no_access_token_outlives_its_session(engines: Engines, database_url: Secret) -> None:
    """Neither the first one, nor that of a refresh, nor that of a lost answer which is given again."""
    async with auth_server(database_url, engines.redis_url, SESSION_IDLE_SECONDS="60") as auth:
        await auth.sign_up()
        first = await auth.log_in()
        next_one = await auth.refresh(first.document["refresh_token"])
        answers = (first, next_one, await auth.refresh(first.document["refresh_token"]))
        ((expires_at,),) = await auth.query("SELECT expires_at FROM sessions")
        for answer in answers:
            assert 50 <= answer.document["expires_in"] <= 60
            assert auth.claims(answer).expires <= expires_at.timestamp()
        assert auth.claims(first).expires <= auth.claims(first).issued_at + 60


@pytest.mark.parametrize("rubbish", ["", "x", "a.b.c", "é", "x" * 9000])
async def test_rubbish_never_reaches_the_database(auth: AuthServer, rubbish: str) -> None:
    answer = await auth.refresh(rubbish)
    assert (answer.status, problem(answer)) == (401, "invalid-token")


async def test_the_two_kinds_of_token_are_not_interchangeable(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = (await auth.log_in()).document
    assert (await auth.refresh(tokens["access_token"])).status == 401
    with pytest.raises(jwt.TokenRefused):
        jwt.verify(
            tokens["refresh_token"],
            auth.services.key_ring.published,
            now=time.time(),
            issuer=TOKENS.issuer,
            audience=TOKENS.audience,
            algorithms=ALGORITHMS,
        )
