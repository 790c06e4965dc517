"""Enrolling a phone, logging in with it, and taking it off again: over HTTP, on a real database."""

import base64
import hashlib
import logging
from urllib.parse import parse_qs, urlsplit

import pytest

from services.auth.domain.audit import Event
from shared.config import ConfigError, Secret
from shared.context import Principal
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer, auth_server
from tests.services.auth.phone import enrolled, owner

STRICT = {"LOGIN_FREE_FAILURES_ACCOUNT": "3", "LOGIN_LOCK_SECONDS": "600"}


def problem(answer: Answer) -> str:
    assert answer.headers.get("content-type") == "application/problem+json"
    return str(answer.document["type"]).rpartition(":")[2]


def assert_code_is_refused(answer: Answer) -> None:
    assert answer.status == 422
    assert [each["field"] for each in answer.document["errors"]] == ["code"]


async def events(auth: AuthServer) -> list[Event]:
    kinds = {Event.SECOND_FACTOR_ENABLED, Event.SECOND_FACTOR_DISABLED, Event.RECOVERY_CODE_USED}
    return [row.entry.event for row in await auth.services.audit.read() if row.entry.event in kinds]


# Enrolling


async def test_enrolling_gives_a_secret_for_the_phone(auth: AuthServer) -> None:
    answer = await (await owner(auth)).enrol()
    assert (answer.status, answer.headers.get("cache-control")) == (201, "no-store")
    assert set(answer.document) == {"secret", "otpauth_uri"}
    uri = urlsplit(answer.document["otpauth_uri"])
    assert uri.path == "/Plainstack:alice%40example.com"
    assert parse_qs(uri.query) == {"secret": [answer.document["secret"]], "issuer": ["Plainstack"]}


async def test_the_issuer_can_be_set(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url, TOTP_ISSUER="My Shop") as auth:
        uri = (await (await owner(auth)).enrol()).document["otpauth_uri"]
        assert parse_qs(urlsplit(uri).query)["issuer"] == ["My Shop"]


async def test_an_issuer_that_apps_would_cut_off_is_refused(engines: Engines, database_url: Secret) -> None:
    with pytest.raises(ConfigError, match="TOTP_ISSUER"):
        async with auth_server(database_url, engines.redis_url, TOTP_ISSUER="my:shop"):
            pass


async def test_a_secret_that_was_not_confirmed_is_replaced(auth: AuthServer) -> None:
    alice = await owner(auth)
    await alice.enrol()
    first = await alice.code()
    await alice.enrol()
    assert_code_is_refused(await alice.confirm(first))
    assert (await alice.confirm(await alice.code())).status == 200


async def test_confirming_gives_ten_recovery_codes_once(auth: AuthServer) -> None:
    alice = await owner(auth)
    await alice.enrol()
    answer = await alice.confirm(await alice.code())
    assert (answer.status, answer.headers.get("cache-control")) == (200, "no-store")
    assert len(set(answer.document["recovery_codes"])) == 10
    again = await alice.confirm(await alice.fresh_code())
    assert (again.status, problem(again)) == (409, "second-factor-enabled")
    assert await events(auth) == [Event.SECOND_FACTOR_ENABLED]


async def test_a_confirmed_secret_is_not_replaced(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    kept = await auth.query("SELECT * FROM totp")
    answer = await alice.enrol()
    assert (answer.status, problem(answer)) == (409, "second-factor-enabled")
    assert await auth.query("SELECT * FROM totp") == kept


async def test_a_wrong_code_confirms_nothing(auth: AuthServer) -> None:
    alice = await owner(auth)
    await alice.enrol()
    for code in (await alice.wrong_code(), "", "rubbish", "\u0661" * 6):
        assert_code_is_refused(await alice.confirm(code))
    assert await auth.query("SELECT confirmed_at, last_step FROM totp") == [(None, 0)]
    assert (await alice.log_in()).status == 200


async def test_there_must_be_something_to_confirm_or_to_disable(auth: AuthServer) -> None:
    alice = await owner(auth)
    for answer in (await alice.confirm("123456"), await alice.disable("123456")):
        assert (answer.status, problem(answer)) == (404, "not-found")
    await alice.enrol()
    assert (await alice.disable(await alice.code())).status == 404


@pytest.mark.parametrize(
    ("method", "target"), [("POST", "/auth/totp"), ("POST", "/auth/totp/confirm"), ("DELETE", "/auth/totp")]
)
async def test_nobody_has_no_second_factor(auth: AuthServer, method: str, target: str) -> None:
    assert (await auth.call(method, target, {"code": "123456"})).status == 401


async def test_an_account_that_is_gone_enrols_nothing(auth: AuthServer) -> None:
    gone = Principal(user_id=str(new_id()), session_id=str(new_id()))
    assert (await auth.call("POST", "/auth/totp", principal=gone)).status == 401


async def test_neither_secret_nor_recovery_code_is_kept_or_logged_in_the_clear(
    auth: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice, recovery_codes = await enrolled(auth)
    code = await alice.fresh_code()
    await alice.log_in(code)
    kept = await auth.query("SELECT totp.*, recovery_codes.* FROM totp JOIN recovery_codes USING (user_id)")
    written = str(kept) + str(await auth.query("SELECT * FROM audit")) + caplog.text
    plain = [recovery_code.replace("-", "") for recovery_code in recovery_codes]
    for secret in (alice.secret, code, *recovery_codes, *plain):
        assert secret not in written
    assert all(base64.b32decode(alice.secret) not in row[1] for row in kept)
    digests = {hashlib.sha256(alice.user_id.bytes + text.encode()).digest() for text in plain}
    assert {row[0] for row in await auth.query("SELECT digest FROM recovery_codes")} == digests


# Logging in


async def test_a_login_needs_a_code(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    for nothing in (None, "", " "):
        answer = await alice.log_in(nothing)
        assert (answer.status, problem(answer)) == (401, "second-factor-required")
        assert answer.headers.get("www-authenticate") == 'Bearer realm="plainstack"'
    answer = await alice.log_in(await alice.wrong_code())
    assert (answer.status, problem(answer)) == (401, "second-factor-wrong")
    assert answer.headers.get("www-authenticate") == 'Bearer realm="plainstack"'
    assert await auth.query("SELECT count(*) FROM sessions") == [(0,)]
    assert (await alice.log_in(await alice.fresh_code())).status == 200


async def test_who_does_not_know_the_password_learns_nothing(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    for code in (None, await alice.fresh_code()):
        answer = await alice.log_in(code, password="wrong password")
        assert (answer.status, problem(answer)) == (401, "invalid-credentials")
    assert await auth.query("SELECT last_step FROM totp") == [(0,)]


async def test_before_it_is_confirmed_and_without_one_a_code_is_ignored(auth: AuthServer) -> None:
    alice = await owner(auth)
    assert (await alice.log_in("whatever")).status == 200
    await alice.enrol()
    assert (await alice.log_in()).status == 200
    assert (await alice.log_in("whatever")).status == 200


async def test_a_code_is_used_once_whatever_for(auth: AuthServer) -> None:
    alice = await owner(auth)
    await alice.enrol()
    code = await alice.code()
    assert (await alice.confirm(code)).status == 200
    assert problem(await alice.log_in(code)) == "second-factor-wrong"
    assert_code_is_refused(await alice.disable(code))
    later = await alice.code(1)
    assert (await alice.log_in(f" {later[:3]} {later[3:]} ")).status == 200
    assert problem(await alice.log_in(later)) == "second-factor-wrong"
    assert_code_is_refused(await alice.disable(later))


async def test_a_code_older_than_the_last_one_is_refused(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    await auth.execute("UPDATE totp SET last_step = 0")
    before, now = await alice.code(), await alice.code(1)
    assert (await alice.log_in(now)).status == 200
    assert problem(await alice.log_in(before)) == "second-factor-wrong"


async def test_codes_of_two_steps_away_are_refused(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    await auth.execute("UPDATE totp SET last_step = 0")
    for steps in (-3, 3):
        assert problem(await alice.log_in(await alice.code(steps))) == "second-factor-wrong"


async def test_a_recovery_code_is_good_for_one_login(auth: AuthServer) -> None:
    alice, recovery_codes = await enrolled(auth)
    careless = recovery_codes[0].lower().replace("-", " ")
    assert (await alice.log_in(careless)).status == 200
    assert problem(await alice.log_in(recovery_codes[0])) == "second-factor-wrong"
    assert (await alice.log_in(recovery_codes[1])).status == 200
    assert await auth.query("SELECT count(*) FROM recovery_codes WHERE used_at IS NULL") == [(8,)]
    assert await events(auth) == [Event.SECOND_FACTOR_ENABLED, *[Event.RECOVERY_CODE_USED] * 2]


async def test_nobody_elses_code_will_do(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    eve, evil_codes = await enrolled(auth, "eve@example.com")
    for code in (await eve.fresh_code(), evil_codes[0]):
        assert problem(await alice.log_in(code)) == "second-factor-wrong"
    assert (await eve.log_in(evil_codes[0])).status == 200


async def test_a_login_that_fails_afterwards_uses_up_no_code(auth: AuthServer) -> None:
    alice, recovery_codes = await enrolled(auth)
    code = await alice.fresh_code()
    await auth.execute("ALTER TABLE sessions ADD CONSTRAINT none CHECK (false)")
    for each in (code, recovery_codes[0]):
        assert (await alice.log_in(each)).status >= 500
    await auth.execute("ALTER TABLE sessions DROP CONSTRAINT none")
    assert await events(auth) == [Event.SECOND_FACTOR_ENABLED]
    for each in (code, recovery_codes[0]):
        assert (await alice.log_in(each)).status == 200


async def test_a_secret_copied_from_another_account_does_not_open(auth: AuthServer) -> None:
    alice, recovery_codes = await enrolled(auth)
    eve, _ = await enrolled(auth, "eve@example.com")
    others = f"SELECT sealed_secret FROM totp WHERE user_id <> '{alice.user_id}'"
    await auth.execute(f"UPDATE totp SET sealed_secret = ({others}) WHERE user_id = '{alice.user_id}'")
    assert (await alice.log_in(await eve.fresh_code())).status == 503
    assert (await alice.log_in(recovery_codes[0])).status == 200


# Taking it off


async def test_a_code_takes_it_off(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    assert (await alice.disable(await alice.fresh_code())).status == 204
    assert await auth.query("SELECT * FROM totp") == []
    assert await auth.query("SELECT * FROM recovery_codes") == []
    assert (await alice.log_in()).status == 200
    assert await events(auth) == [Event.SECOND_FACTOR_ENABLED, Event.SECOND_FACTOR_DISABLED]


async def test_a_recovery_code_takes_it_off_if_it_was_not_used(auth: AuthServer) -> None:
    alice, recovery_codes = await enrolled(auth)
    await alice.log_in(recovery_codes[0])
    assert_code_is_refused(await alice.disable(recovery_codes[0]))
    assert (await alice.disable(recovery_codes[1])).status == 204
    assert (await events(auth))[-2:] == [Event.RECOVERY_CODE_USED, Event.SECOND_FACTOR_DISABLED]


async def test_after_it_was_taken_off_everything_is_new(auth: AuthServer) -> None:
    alice, recovery_codes = await enrolled(auth)
    old_secret = alice.secret
    await alice.disable(recovery_codes[0])
    await alice.enrol()
    assert alice.secret != old_secret
    assert (await alice.confirm(await alice.code())).status == 200
    assert problem(await alice.log_in(recovery_codes[1])) == "second-factor-wrong"


async def test_an_operator_takes_it_off(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth)
    assert await auth.services.second_factor.remove(alice.user_id)
    assert not await auth.services.second_factor.remove(alice.user_id)
    assert (await alice.log_in()).status == 200
    assert await events(auth) == [Event.SECOND_FACTOR_ENABLED, Event.SECOND_FACTOR_DISABLED]


# Guessing


async def test_guessing_codes_while_logged_in_is_slowed_down(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice, recovery_codes = await enrolled(auth)
        answers = [await alice.disable(await alice.wrong_code()) for _ in range(5)]
        assert [answer.status for answer in answers] == [422, 422, 422, 429, 429]
        assert answers[-1].headers.get("retry-after")
        assert (await alice.disable(recovery_codes[0])).status == 429  # also with the right one
        await auth.execute("UPDATE guesses SET locked_until = now()")
        assert (await alice.disable(recovery_codes[0])).status == 204


async def test_guessing_codes_at_a_confirmation_is_slowed_down(
    engines: Engines, database_url: Secret
) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice = await owner(auth)
        await alice.enrol()
        answers = [await alice.confirm(await alice.wrong_code()) for _ in range(4)]
        assert [answer.status for answer in answers] == [422, 422, 422, 429]


@pytest.mark.parametrize("between", [None, "", "999"])
async def test_the_right_password_does_not_give_endless_guesses_of_the_code(
    engines: Engines, database_url: Secret, between: str | None
) -> None:
    """Whoever knows the password may leave the code out as often as they like: it resets nothing."""
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice, recovery_codes = await enrolled(auth)
        statuses = []
        for _ in range(3):
            await alice.log_in(between)
            statuses.append((await alice.log_in(await alice.wrong_code())).status)
        statuses.append((await alice.log_in(recovery_codes[0])).status)
        assert statuses[-1] == 429
        assert 200 not in statuses
        await auth.execute("UPDATE guesses SET locked_until = now()")
        assert (await alice.log_in(recovery_codes[0])).status == 200


async def test_where_there_is_nothing_to_guess_at_nothing_is_counted(
    engines: Engines, database_url: Secret
) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice = await owner(auth)
        assert [(await alice.confirm("123456")).status for _ in range(5)] == [404] * 5
        assert [(await alice.disable("123456")).status for _ in range(5)] == [404] * 5


async def test_a_code_that_was_left_out_is_no_guess(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice, recovery_codes = await enrolled(auth)
        for _ in range(5):
            assert problem(await alice.log_in()) == "second-factor-required"
        assert (await alice.log_in(recovery_codes[0])).status == 200


async def test_neither_factor_gives_new_guesses_at_the_other(engines: Engines, database_url: Secret) -> None:
    """For a thief who is logged in: no password change, and no phone of his own, resets what was counted."""
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice, recovery_codes = await enrolled(auth)
        session = auth.claims(await alice.log_in(recovery_codes[0])).principal
        change = {"current_password": PASSWORD, "new_password": "another horse battery"}
        for _ in range(2):
            assert_code_is_refused(await alice.disable(await alice.wrong_code()))
        assert (await auth.call("POST", "/auth/password", change, session)).status == 204
        assert_code_is_refused(await alice.disable(await alice.wrong_code()))
        assert (await alice.disable(await alice.wrong_code())).status == 429
