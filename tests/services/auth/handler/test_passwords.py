"""Choosing and changing passwords, through the auth server's whole chain of middleware."""

import pytest

from shared.config import Secret
from shared.context import Principal
from tests.engines import Engines
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer, auth_server
from tests.shared.auth.valkey import Valkey

NEW = "a horse of another colour"


async def change(auth: AuthServer, principal: Principal, current: str = PASSWORD, new: str = NEW) -> Answer:
    body = {"current_password": current, "new_password": new}
    return await auth.call("POST", "/auth/password", body, principal)


async def log_in(auth: AuthServer) -> tuple[Principal, str]:
    """Who the gateway says it is, and the refresh token."""
    answer = await auth.log_in()
    return auth.claims(answer).principal, answer.document["refresh_token"]


def faults(answer: Answer) -> dict[str, str]:
    assert answer.status == 422
    return {each["field"]: each["detail"] for each in answer.document["errors"]}


# Choosing one


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("short", "8 to 1024"),
        ("x" * 1025, "8 to 1024"),
        ("iLoveYou", "most common"),
        ("ALICE@example.com", "e-mail address"),
    ],
)
async def test_a_bad_password_is_refused_with_the_reason(
    auth: AuthServer, password: str, reason: str
) -> None:
    assert reason in faults(await auth.sign_up(password=password))["password"]
    await auth.sign_up()
    principal, _ = await log_in(auth)
    assert reason in faults(await change(auth, principal, new=password))["new_password"]


async def test_a_common_password_is_named_together_with_other_bad_fields(auth: AuthServer) -> None:
    body = {"email": "no", "password": "password", "display_name": ""}
    assert set(faults(await auth.call("POST", "/auth/signup", body))) == set(body)


async def test_any_unicode_will_do_in_any_spelling(auth: AuthServer) -> None:
    await auth.sign_up(password="пароль 🔑 caf\u00e9")
    assert (await auth.log_in(password="пароль 🔑 cafe\u0301")).status == 200


# Changing it


async def test_changing_the_password_ends_the_other_sessions(auth: AuthServer) -> None:
    await auth.sign_up()
    mine, my_token = await log_in(auth)
    other, other_token = await log_in(auth)
    assert (await change(auth, mine)).status == 204
    assert (await auth.refresh(my_token)).status == 200
    assert (await auth.refresh(other_token)).status == 401
    assert [name for name, _ in await auth.query("SELECT name, stored_at FROM revocations")] == [
        other.session_id
    ]
    assert await auth.query("SELECT count(*) FROM revocations WHERE stored_at IS NULL") == [(0,)]


async def test_only_the_new_password_opens_the_account(auth: AuthServer) -> None:
    await auth.sign_up()
    principal, _ = await log_in(auth)
    await change(auth, principal)
    assert (await auth.log_in()).status == 401
    assert (await auth.log_in(password=NEW)).status == 200


async def test_a_wrong_current_password_is_told_as_a_bad_field(auth: AuthServer) -> None:
    await auth.sign_up()
    principal, _ = await log_in(auth)
    answer = await change(auth, principal, current="something else")
    assert answer.document["type"].endswith(":wrong-password")
    assert faults(answer) == {"current_password": "Is not the current password"}
    assert (await auth.log_in()).status == 200


async def test_guessing_the_current_password_is_slowed_down(engines: Engines, database_url: Secret) -> None:
    settings = {"LOGIN_FREE_FAILURES_ACCOUNT": "3", "LOGIN_LOCK_SECONDS": "60"}
    async with auth_server(database_url, engines.redis_url, **settings) as auth:
        await auth.sign_up()
        principal, _ = await log_in(auth)
        answers = [await change(auth, principal, current="something else") for _ in range(6)]
        assert answers[0].status == 422
        assert answers[-1].status == 429
        assert int(answers[-1].headers.get("retry-after") or "") > 0
        assert (await change(auth, principal)).status == 429


async def test_success_forgets_the_failures(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url, LOGIN_FREE_FAILURES_ACCOUNT="3") as auth:
        await auth.sign_up()
        principal, _ = await log_in(auth)
        for current, new in ((PASSWORD, NEW), (NEW, PASSWORD)) * 2:
            for _ in range(2):
                assert (await change(auth, principal, current="something else")).status == 422
            assert (await change(auth, principal, current, new)).status == 204


async def test_nobody_has_no_password_to_change(auth: AuthServer) -> None:
    assert (await change(auth, Principal())).status == 401


async def test_a_session_that_has_ended_changes_nothing(auth: AuthServer) -> None:
    await auth.sign_up()
    mine, _ = await log_in(auth)
    _, other_token = await log_in(auth)
    await auth.log_out(mine)
    assert (await change(auth, mine)).status == 401
    assert (await auth.refresh(other_token)).status == 200
    assert (await auth.log_in()).status == 200


async def test_an_expired_session_changes_nothing(auth: AuthServer) -> None:
    await auth.sign_up()
    principal, _ = await log_in(auth)
    await auth.execute("UPDATE sessions SET expires_at = clock_timestamp()")
    assert (await change(auth, principal)).status == 401


async def test_a_locked_account_changes_nothing(auth: AuthServer) -> None:
    await auth.sign_up()
    principal, _ = await log_in(auth)
    await auth.execute("UPDATE users SET locked_at = now()")
    assert (await change(auth, principal)).status == 401
    assert await auth.query("SELECT password_version FROM users") == [(1,)]


async def test_a_change_is_written_down_without_the_passwords(auth: AuthServer) -> None:
    await auth.sign_up()
    principal, _ = await log_in(auth)
    await change(auth, principal, current="something else")
    await change(auth, principal)
    told = "SELECT user_id::text, session_id::text, actor FROM audit WHERE event = 'password-changed'"
    assert await auth.query(told) == [(principal.user_id, principal.session_id, "client")]
    everything = str(await auth.query("SELECT * FROM audit")) + str(await auth.query("SELECT * FROM users"))
    assert PASSWORD not in everything
    assert NEW not in everything


async def test_without_the_store_it_is_changed_but_not_said_to_be_done(
    database_url: Secret, valkey: Valkey
) -> None:
    """The database comes first; what the gateways have not heard of is sent to them later."""
    async with auth_server(database_url, valkey.url) as auth:
        await auth.sign_up()
        mine, _ = await log_in(auth)
        await log_in(auth)
        valkey.kill()
        answer = await change(auth, mine)
        assert answer.status == 503
        assert answer.headers.get("retry-after")
        assert (await auth.log_in(password=NEW)).status == 200
        assert await auth.query("SELECT count(*) FROM revocations WHERE stored_at IS NULL") == [(1,)]
