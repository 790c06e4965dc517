"""Guessing at passwords, as a client, an operator and an attacker see it."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.auth.domain.audit import Event
from services.auth.domain.guessing import Proof
from services.auth.passwords import BcryptPasswords
from shared.config import Secret
from shared.errors import TooManyRequests
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import NOBODY, PASSWORD, Answer, AuthServer, auth_server

HOME, ELSEWHERE = NOBODY, replace(NOBODY, client_address="198.51.100.1")
FREE = 3


@pytest.fixture
async def strict(engines: Engines, database_url: Secret) -> AsyncIterator[AuthServer]:
    """An auth server that locks an account after three failures, an address after six, for a minute."""
    async with auth_server(
        database_url,
        engines.redis_url,
        LOGIN_FREE_FAILURES_ACCOUNT=str(FREE),
        LOGIN_FREE_FAILURES_ADDRESS=str(2 * FREE),
        LOGIN_LOCK_SECONDS="60",
    ) as server:
        yield server


async def guess(auth: AuthServer, email: str = "alice@example.com", password: str = "wrong") -> Answer:
    return await log_in(auth, email, password, ELSEWHERE)


async def log_in(
    auth: AuthServer, email: str = "alice@example.com", password: str = PASSWORD, principal: Any = HOME
) -> Answer:
    return await auth.call("POST", "/auth/login", {"email": email, "password": password}, principal)


async def counts(auth: AuthServer, kind: str) -> list[tuple[Any, ...]]:
    """Failures, how many of them were refused, and locks."""
    return await auth.query(f"SELECT failures, refused, locks FROM guesses WHERE kind = '{kind}'")


async def pass_time(auth: AuthServer, seconds: float) -> None:
    """For guesses only."""
    await auth.execute(
        f"""UPDATE guesses SET first_attempt_at = first_attempt_at - interval '{seconds} s',
            last_attempt_at = last_attempt_at - interval '{seconds} s',
            locked_until = locked_until - interval '{seconds} s'"""
    )


async def entries(auth: AuthServer, event: Event) -> list[dict[str, str]]:
    return [dict(row.entry.details) for row in await auth.services.audit.read(event=event)]


# Locks


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
async def test_after_the_free_failures_an_account_is_locked_whether_it_exists_or_not(
    strict: AuthServer, email: str
) -> None:
    await strict.sign_up()
    assert [(await guess(strict, email)).status for _ in range(FREE + 2)] == [401] * FREE + [429] * 2
    refused = await guess(strict, email.upper(), PASSWORD)
    assert refused.document["type"] == "urn:plainstack:problem:too-many-attempts"
    assert 0 < int(refused.headers.get("retry-after") or 0) <= 60
    assert await counts(strict, "account") == [(FREE + 3, 3, 1)]
    assert await counts(strict, "address") == [(FREE + 3, 0, 1)]


async def test_every_lock_is_twice_as_long_as_the_one_before(strict: AuthServer) -> None:
    for _ in range(6):
        while (await guess(strict)).status == 401:
            pass
        await pass_time(strict, 900)
        await strict.execute("DELETE FROM guesses WHERE kind = 'address'")
    seconds = [entry["seconds"] for entry in await entries(strict, Event.GUESSING_LOCKED)]
    assert seconds == ["60", "120", "240", "480", "900", "900"]


async def test_refused_attempts_do_not_prolong_a_lock(strict: AuthServer) -> None:
    for _ in range(FREE):
        await guess(strict)
    until = await strict.query("SELECT locked_until FROM guesses WHERE kind = 'account'")
    assert (await guess(strict)).status == 429
    assert await strict.query("SELECT locked_until FROM guesses WHERE kind = 'account'") == until


async def test_after_a_lock_one_guess_is_admitted_and_sets_the_next(strict: AuthServer) -> None:
    for _ in range(FREE):
        await guess(strict)
    await pass_time(strict, 61)
    assert [(await guess(strict)).status for _ in range(2)] == [401, 429]
    assert await counts(strict, "account") == [(FREE + 2, 1, 2)]


async def test_all_is_forgotten_after_some_quiet(strict: AuthServer) -> None:
    for _ in range(FREE):
        await guess(strict)
    await pass_time(strict, 60 + 870)
    assert (await guess(strict)).status == 401
    assert await counts(strict, "account") == [(FREE + 1, 0, 2)]
    await pass_time(strict, 120 + 901)
    assert (await guess(strict)).status == 401
    assert await counts(strict, "account") == [(1, 0, 0)]
    assert await counts(strict, "address") == [(1, 0, 0)]


async def test_those_who_mistype_behind_one_address_do_not_add_up_for_ever(strict: AuthServer) -> None:
    for number in range(4 * FREE):
        assert (await guess(strict, f"{number}@example.com")).status == 401
        await pass_time(strict, 900 / FREE)
    assert (await counts(strict, "address"))[0][0] <= FREE + 1


async def test_a_locked_address_locks_nobody_elses_account(strict: AuthServer) -> None:
    for number in range(2 * FREE):
        assert (await guess(strict, f"{number}@example.com")).status == 401
    assert (await guess(strict)).status == 429
    assert (await strict.query("SELECT count(*) FROM guesses WHERE kind = 'account'")) == [(2 * FREE,)]
    await strict.sign_up()
    assert (await guess(strict, password=PASSWORD)).status == 429
    assert (await log_in(strict)).status == 200


async def test_neighbours_in_an_ipv6_network_are_one_address(strict: AuthServer) -> None:
    for number in range(2 * FREE):
        principal = replace(NOBODY, client_address=f"2001:db8::{number}")
        assert (await log_in(strict, f"{number}@example.com", principal=principal)).status == 401
    neighbour, stranger = (replace(NOBODY, client_address=f"2001:db8:0:{net}::") for net in (0, 1))
    assert (await log_in(strict, principal=neighbour)).status == 429
    assert (await log_in(strict, principal=stranger)).status == 401


# What is no guess


async def test_success_starts_the_account_anew_and_leaves_the_address(strict: AuthServer) -> None:
    await strict.sign_up()
    for _ in range(FREE - 1):
        await guess(strict)
    assert (await guess(strict, password=PASSWORD)).status == 200
    assert await counts(strict, "account") == []
    assert await counts(strict, "address") == [(FREE - 1, 0, 0)]
    assert (await log_in(strict, password="wrong")).status == 401
    assert await counts(strict, "account") == [(1, 0, 0)]


async def test_success_takes_back_the_lock_that_it_has_set(strict: AuthServer) -> None:
    await strict.sign_up()
    for number in range(2 * FREE - 1):
        await guess(strict, f"{number}@example.com")
    assert (await guess(strict, password=PASSWORD)).status == 200
    assert await counts(strict, "address") == [(2 * FREE - 1, 0, 0)]
    assert (await guess(strict, password=PASSWORD)).status == 200


async def test_known_networks_are_spared_the_accounts_lock(strict: AuthServer) -> None:
    await strict.sign_up()
    assert (await log_in(strict)).status == 200
    for _ in range(FREE):
        await guess(strict)
    assert (await guess(strict, password=PASSWORD)).status == 429
    assert (await log_in(strict, password="wrong")).status == 401
    assert sorted(await counts(strict, "account")) == [(1, 0, 0), (FREE + 1, 1, 1)]
    assert (await log_in(strict)).status == 200
    assert await counts(strict, "account") == [(FREE + 1, 1, 1)]


async def test_known_networks_have_no_more_guesses_than_others(strict: AuthServer) -> None:
    """Else it would show there that the account exists."""
    await strict.sign_up()
    await log_in(strict)
    for email in ("alice@example.com", "nobody@example.com"):
        statuses = [(await log_in(strict, email, "wrong")).status for _ in range(FREE + 1)]
        assert statuses == [401] * FREE + [429]
        await strict.execute("DELETE FROM guesses WHERE kind = 'address'")
    assert (await log_in(strict)).status == 429


async def test_nobody_is_spared_for_somebody_elses_network(strict: AuthServer) -> None:
    await strict.sign_up()
    await strict.sign_up("eve@example.com")
    assert (await log_in(strict, "eve@example.com", principal=ELSEWHERE)).status == 200
    assert [(await guess(strict)).status for _ in range(FREE + 1)] == [401] * FREE + [429]


async def test_our_overload_locks_nobody_out(strict: AuthServer, monkeypatch: pytest.MonkeyPatch) -> None:
    full = BcryptPasswords(4, at_once=0, waiting=0)
    monkeypatch.setattr(strict.services.login, "_passwords", full)
    assert [(await guess(strict)).status for _ in range(3 * FREE)] == [503] * 3 * FREE
    assert await counts(strict, "account") == await counts(strict, "address") == [(0, 0, 0)]
    full.close()


# The second time that a user has to prove who it is


async def test_a_user_is_counted_apart_from_logins(strict: AuthServer) -> None:
    guessing, user_id = strict.services.guessing, new_id()
    attempts = [await guessing.admit_user(user_id, Proof.PASSWORD) for _ in range(FREE)]
    with pytest.raises(TooManyRequests) as refused:
        await guessing.admit_user(user_id, Proof.PASSWORD)
    assert 0 < (refused.value.retry_after or 0) <= 60
    await guessing.take_back(attempts[-1])
    assert await counts(strict, "user") == [(FREE, 1, 0)]
    await guessing.succeeded(await guessing.admit_user(user_id, Proof.PASSWORD))
    assert await counts(strict, "user") == []
    assert await counts(strict, "address") == await counts(strict, "account") == []


# What is written down


async def test_failures_and_locks_are_written_down_but_nothing_that_was_refused(
    strict: AuthServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    user_id = (await strict.sign_up()).document["user_id"]
    for _ in range(FREE + 2):
        await guess(strict)
    for _ in range(2 * FREE):
        await guess(strict, "nobody@example.com")
    failed = await strict.services.audit.read(event=Event.LOGIN_FAILED)
    reasons = [(str(row.entry.user_id), row.entry.details["reason"], row.address) for row in failed]
    assert reasons[:FREE] == [(user_id, "wrong-password", "198.51.100.1")] * FREE
    assert reasons[FREE:] == [("None", "unknown-account", "198.51.100.1")]
    locked = await strict.services.audit.read(event=Event.GUESSING_LOCKED)
    assert [(str(row.entry.user_id), dict(row.entry.details)) for row in locked] == [
        (user_id, {"kind": "account", "seconds": "60"}),
        ("None", {"kind": "address", "seconds": "60"}),
    ]
    logged = [record.__dict__ for record in caplog.records if record.message == "locked for guessing"]
    assert [(each["kind"], each["seconds"]) for each in logged] == [("account", "60"), ("address", "60")]
    texts = await strict.query("SELECT audit::text FROM audit")
    assert not any("nobody" in text or 'wrong"' in text for (text,) in texts)


async def test_a_login_is_written_down(auth: AuthServer) -> None:
    await auth.sign_up()
    claims = auth.claims(await auth.log_in())
    (row,) = await auth.services.audit.read(event=Event.LOGGED_IN)
    assert (str(row.entry.user_id), str(row.entry.session_id)) == (claims.subject, claims.session_id)


async def test_metrics_are_there_before_anybody_guesses(auth: AuthServer) -> None:
    for name in ("auth_guessing_locks_total", "auth_guesses_refused_total"):
        for kind in ("account", "address", "user"):
            assert REGISTRY.get_sample_value(name, {"kind": kind}) is not None


async def test_metrics_count_locks_and_refusals(strict: AuthServer) -> None:
    def values() -> list[float]:
        names = ("auth_guessing_locks_total", "auth_guesses_refused_total")
        return [REGISTRY.get_sample_value(name, {"kind": "account"}) or 0 for name in names]

    before = values()
    for _ in range(FREE + 2):
        await guess(strict)
    assert [after - earlier for after, earlier in zip(values(), before, strict=True)] == [1, 2]


# Upkeep


async def test_only_what_is_forgotten_is_dropped(strict: AuthServer) -> None:
    for _ in range(FREE):
        await guess(strict)
    await strict.services.stored.guesses.drop_forgotten()
    await pass_time(strict, 901)  # the account was locked for a minute of that
    await strict.services.stored.guesses.drop_forgotten()
    assert await strict.query("SELECT kind FROM guesses") == [("account",)]
    await pass_time(strict, 60)
    await strict.services.stored.guesses.drop_forgotten()
    assert await strict.query("SELECT kind FROM guesses") == []


async def test_networks_that_nobody_uses_any_more_are_forgotten(auth: AuthServer) -> None:
    await auth.sign_up()
    for principal in (HOME, ELSEWHERE, HOME):
        await log_in(auth, principal=principal)
    assert await auth.query("SELECT count(*) FROM known_networks") == [(2,)]
    await auth.execute(
        """UPDATE known_networks SET last_used_at = last_used_at - interval '91 days'
           WHERE network = '203.0.113.7'"""
    )
    await auth.services.stored.guesses.drop_forgotten()
    assert await auth.query("SELECT network FROM known_networks") == [("198.51.100.1",)]
