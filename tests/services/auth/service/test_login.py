"""Logging in: what a failure tells, and what happens while a password is being checked."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import bcrypt
import psycopg
import pytest

from services.auth.domain.audit import Event
from services.auth.domain.passwords import Passwords
from services.auth.passwords import BcryptPasswords
from shared.config import Secret
from tests.engines import Engines
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer, auth_server
from tests.services.auth.phone import enrolled

ALICE, NOBODY = "alice@example.com", "nobody@example.com"
STRICT = {"LOGIN_FREE_FAILURES_ACCOUNT": "2", "LOGIN_LOCK_SECONDS": "60"}


async def failures(auth: AuthServer) -> dict[str, int]:
    """Of logins."""
    return dict(await auth.query("SELECT kind, failures FROM guesses WHERE kind <> 'user'"))


async def reasons(auth: AuthServer) -> list[str]:
    """Why logins failed, as the audit table has it."""
    return [row.entry.details["reason"] for row in await auth.services.audit.read(event=Event.LOGIN_FAILED)]


# What a failure tells


@dataclass
class Work:
    """What an answer has cost: statements sent, and the costs of the hashes made."""

    statements: list[str] = field(default_factory=list)
    hashes: list[bytes] = field(default_factory=list)


@contextmanager
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[Work]:
    """Everything goes on as ever, and is written down."""
    work = Work()
    execute, check = psycopg.AsyncConnection.execute, bcrypt.checkpw

    async def watched_execute(connection: Any, query: Any, *values: Any, **options: Any) -> Any:
        text = query.decode() if isinstance(query, bytes) else str(query)
        if not text.startswith("SET "):  # the pool's own, for a connection that it has just made
            work.statements.append(text)
        return await execute(connection, query, *values, **options)

    def watched_check(password: bytes, hashed: bytes) -> bool:
        work.hashes.append(hashed[:7])  # version and cost
        return check(password, hashed)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.AsyncConnection, "execute", watched_execute)
        patched.setattr(bcrypt, "checkpw", watched_check)
        yield work


async def nothing(auth: AuthServer) -> None:
    """An ordinary account."""


async def operators_lock(auth: AuthServer) -> None:
    await auth.execute("UPDATE users SET locked_at = now()")


async def one_failure(auth: AuthServer) -> None:
    for email in (ALICE, NOBODY):
        await auth.log_in(email, "wrong")


async def two_failures(auth: AuthServer) -> None:
    for _ in range(2):
        await one_failure(auth)


@pytest.mark.parametrize(
    ("before", "password", "status", "statements", "hashes"),
    [
        (nothing, "wrong", 401, 3, 1),  # count, find, write down
        (one_failure, "wrong", 401, 4, 1),  # and write down that it is locked
        (two_failures, "wrong", 429, 1, 0),  # count
        (two_failures, PASSWORD, 429, 1, 0),
        (operators_lock, "wrong", 401, 3, 1),
        (operators_lock, PASSWORD, 401, 3, 1),
    ],
)
async def test_known_and_unknown_accounts_get_the_same_answer_after_the_same_work(
    engines: Engines,
    database_url: Secret,
    monkeypatch: pytest.MonkeyPatch,
    before: Callable[[AuthServer], Awaitable[None]],
    password: str,
    status: int,
    statements: int,
    hashes: int,
) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        await auth.sign_up()
        await before(auth)
        with watched(monkeypatch) as known:
            answer = await auth.log_in(ALICE, password)
        with watched(monkeypatch) as unknown:
            other = await auth.log_in(NOBODY, password)
    assert known == unknown
    assert (len(known.statements), len(known.hashes)) == (statements, hashes)
    assert answer.status == other.status == status
    del answer.document["instance"], other.document["instance"]
    assert answer.document == other.document
    assert [name for name, _ in answer.headers.items()] == [name for name, _ in other.headers.items()]


async def test_a_second_factor_does_not_show_without_the_password(
    auth: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await enrolled(auth, ALICE)
    with watched(monkeypatch) as known:
        await auth.log_in(ALICE, "wrong")
    with watched(monkeypatch) as unknown:
        await auth.log_in(NOBODY, "wrong")
    assert known == unknown


async def test_an_address_that_nobody_can_have_costs_no_time(auth: AuthServer) -> None:
    """Composing so many marks would take minutes, in which nobody else would be answered."""
    assert (await auth.log_in("a" + "\u0316\u0301" * 250_000 + "@example.com")).status == 401


@pytest.mark.parametrize("email", ["\0", "alice\0@example.com", "alice@example.com\0", "a\x01\x7f\x9f\n@b"])
async def test_an_address_with_control_characters_is_one_that_nobody_has(
    auth: AuthServer, monkeypatch: pytest.MonkeyPatch, email: str
) -> None:
    """PostgreSQL's text holds no NUL: it must not be asked for one, nor be asked less."""
    await auth.sign_up()
    with watched(monkeypatch) as odd:
        answer = await auth.log_in(email)
    with watched(monkeypatch) as unknown:
        other = await auth.log_in(NOBODY)
    assert odd == unknown
    assert answer.status == 401
    del answer.document["instance"], other.document["instance"]
    assert answer.document == other.document
    assert await reasons(auth) == ["unknown-account"] * 2
    assert await auth.query("SELECT failures FROM guesses ORDER BY kind") == [(1,), (1,), (2,)]


async def test_a_nul_in_a_password_or_a_code_is_a_character_like_any_other(auth: AuthServer) -> None:
    password = f"{PASSWORD}\0 and more"
    await auth.sign_up(password=password)
    statuses = [(await auth.log_in(password=each)).status for each in (password, PASSWORD, f"{PASSWORD}\0")]
    assert statuses == [200, 401, 401]
    bob, _ = await enrolled(auth, "bob@example.com")
    answer = await bob.log_in("\0" * 6)
    assert answer.document["type"] == "urn:plainstack:problem:second-factor-wrong"
    assert (await bob.disable("123\0456")).status == 422


async def test_the_operators_lock_shows_in_the_audit_table_only(auth: AuthServer) -> None:
    await auth.sign_up()
    await operators_lock(auth)
    assert [(await auth.log_in(password=password)).status for password in ("wrong", PASSWORD)] == [401, 401]
    assert await reasons(auth) == ["wrong-password", "account-locked"]


# While a password is being checked


@dataclass
class Interrupted:
    """Passwords which, once they have been checked, are overtaken by something else."""

    passwords: Passwords
    meanwhile: Callable[[], Awaitable[object]]

    async def hash(self, password: str) -> str:
        return await self.passwords.hash(password)

    async def matches(self, password: str, password_hash: str | None) -> bool:
        is_right = await self.passwords.matches(password, password_hash)
        await self.meanwhile()
        return is_right

    def needs_rehash(self, password_hash: str) -> bool:
        return self.passwords.needs_rehash(password_hash)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("UPDATE users SET password_version = password_version + 1", "wrong-password"),
        ("UPDATE users SET locked_at = now()", "account-locked"),
    ],
)
async def test_what_was_verified_must_still_be_true(
    auth: AuthServer, monkeypatch: pytest.MonkeyPatch, statement: str, reason: str
) -> None:
    await auth.sign_up()
    interrupted = Interrupted(auth.services.login._passwords, lambda: auth.execute(statement))
    monkeypatch.setattr(auth.services.login, "_passwords", interrupted)
    answer = await auth.log_in()
    assert (answer.status, answer.document["type"]) == (401, "urn:plainstack:problem:invalid-credentials")
    assert await reasons(auth) == [reason]
    assert await failures(auth) == {"account": 1, "address": 1}
    assert await auth.query("SELECT count(*) FROM sessions") == [(0,)]


async def test_a_hash_that_another_login_has_renewed_is_still_the_same_password(
    auth: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    await auth.sign_up()
    renewed = bcrypt.hashpw(b"whatever", bcrypt.gensalt(4)).decode()
    statement = f"UPDATE users SET password_hash = '{renewed}'"
    interrupted = Interrupted(auth.services.login._passwords, lambda: auth.execute(statement))
    monkeypatch.setattr(auth.services.login, "_passwords", interrupted)
    assert (await auth.log_in()).status == 200


# Hashing again


async def stored_hash(auth: AuthServer) -> str:
    return str((await auth.query("SELECT password_hash FROM users"))[0][0])


async def test_a_login_renews_a_hash_of_a_lower_cost(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url) as cheap:
        await cheap.sign_up()
        assert (await stored_hash(cheap)).startswith("$2b$04$")
    async with auth_server(database_url, engines.redis_url, BCRYPT_COST="5") as auth:
        await auth.log_in(password="wrong")
        assert (await stored_hash(auth)).startswith("$2b$04$")
        for _ in range(2):
            assert (await auth.log_in()).status == 200
            renewed = await stored_hash(auth)
            assert renewed.startswith("$2b$05$")
        assert (await auth.log_in()).status == 200
        assert await stored_hash(auth) == renewed


async def test_no_login_fails_for_want_of_a_new_hash(
    engines: Engines, database_url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with auth_server(database_url, engines.redis_url) as cheap:
        await cheap.sign_up()
    async with auth_server(database_url, engines.redis_url, BCRYPT_COST="5") as auth:
        full = BcryptPasswords(5, at_once=0, waiting=0)
        monkeypatch.setattr(auth.services.login._passwords, "hash", full.hash)
        assert (await auth.log_in()).status == 200
        assert (await stored_hash(auth)).startswith("$2b$04$")
        full.close()


# The second factor


async def test_half_a_login_is_neither_a_guess_nor_a_success(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth, ALICE)
    await alice.log_in(password="wrong")
    answer = await alice.log_in()
    assert answer.document["type"] == "urn:plainstack:problem:second-factor-required"
    assert await failures(auth) == {"account": 1, "address": 1}
    assert await auth.query("SELECT count(*) FROM known_networks") == [(0,)]
    assert await reasons(auth) == ["wrong-password"]


async def test_wrong_codes_are_guesses(engines: Engines, database_url: Secret) -> None:
    async with auth_server(database_url, engines.redis_url, **STRICT) as auth:
        alice, _ = await enrolled(auth, ALICE)
        wrong = await alice.wrong_code()
        answers: list[Answer] = []
        for _ in range(2):
            answers += [await alice.log_in(), await alice.log_in(wrong)]
        assert [answer.status for answer in answers] == [401, 401, 401, 401]
        assert (await alice.log_in(await alice.fresh_code())).status == 429
        assert await failures(auth) == {"account": 3, "address": 3}
        assert await reasons(auth) == ["wrong-code"] * 2


async def test_a_login_with_its_code_starts_anew(auth: AuthServer) -> None:
    alice, _ = await enrolled(auth, ALICE)
    await alice.log_in(await alice.wrong_code())
    assert (await alice.log_in(await alice.fresh_code())).status == 200
    assert await failures(auth) == {"address": 1}
