"""Logging out, as a client sees it."""

from datetime import timedelta

import pytest

from shared.context import Principal
from tests.services.auth.conftest import AuthServer


async def test_logging_out_ends_the_session(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    answer = await auth.log_out(auth.claims(tokens).principal)
    assert answer.status == 204
    assert (await auth.refresh(tokens.document["refresh_token"])).status == 401
    rows = await auth.query(
        "SELECT kind, name, stored_at IS NOT NULL, expires_at - revoked_at FROM revocations"
    )
    assert rows == [("sid", tokens.document["session_id"], True, timedelta(seconds=665))]


async def test_logging_out_twice_is_logging_out_once(auth: AuthServer) -> None:
    await auth.sign_up()
    principal = auth.claims(await auth.log_in()).principal
    assert (await auth.log_out(principal)).status == 204
    revocations = await auth.query("SELECT name, revoked_at, expires_at, stored_at FROM revocations")
    assert (await auth.log_out(principal)).status == 204
    assert await auth.query("SELECT name, revoked_at, expires_at, stored_at FROM revocations") == revocations
    assert len(revocations) == 1


@pytest.mark.parametrize(("scope", "alive"), [("local", [1, 2]), ("others", [0]), ("global", [])])
async def test_the_scope_of_a_logout(auth: AuthServer, scope: str, alive: list[int]) -> None:
    await auth.sign_up()
    await auth.sign_up("bob@example.com")
    bob = await auth.log_in("bob@example.com")
    logins = [await auth.log_in() for _ in range(3)]
    assert (await auth.log_out(auth.claims(logins[0]).principal, scope)).status == 204
    statuses = [(await auth.refresh(each.document["refresh_token"])).status for each in logins]
    assert [number for number, status in enumerate(statuses) if status == 200] == alive
    assert (await auth.refresh(bob.document["refresh_token"])).status == 200


async def test_an_unknown_scope_is_named(auth: AuthServer) -> None:
    await auth.sign_up()
    answer = await auth.log_out(auth.claims(await auth.log_in()).principal, "galactic")
    assert answer.status == 422
    assert answer.document["errors"][0]["field"] == "scope"


async def test_a_mistyped_field_is_named(auth: AuthServer) -> None:
    """Else somebody would believe that all sessions have ended."""
    await auth.sign_up()
    principal = auth.claims(await auth.log_in()).principal
    answer = await auth.call("POST", "/auth/logout", {"scpoe": "global"}, principal)
    assert answer.status == 422
    assert [each["field"] for each in answer.document["errors"]] == ["scpoe"]


async def test_nobody_ends_the_session_of_somebody_else(auth: AuthServer) -> None:
    await auth.sign_up()
    await auth.sign_up("eve@example.com")
    alice, eve = auth.claims(await auth.log_in()), auth.claims(await auth.log_in("eve@example.com"))
    mixed = Principal(user_id=eve.subject, session_id=alice.session_id)
    await auth.log_out(mixed)
    assert await auth.query("SELECT count(*) FROM sessions WHERE ended_at IS NULL") == [(2,)]
