"""Keys in a real PostgreSQL. Time goes by in that a test moves the times that are written there."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import dedent
from uuid import UUID

import pytest

from shared.config import CHECKOUT, Secret
from shared.db import idempotency_keys
from shared.db.database import Database
from shared.db.idempotency_keys import CLAIM_SECONDS, KEPT_HOURS, Answer, Claim, IdempotencyKeys, Scope
from shared.errors import Conflict, Invalid, Unavailable
from tests.shared.db.own_postgres import OwnPostgres
from tests.waiting import eventually

Write = Callable[..., Path]

TABLE = dedent((idempotency_keys.__doc__ or "").partition(":\n\n")[2])
EFFECTS = "CREATE TABLE effects (text text NOT NULL)"
DEADLINE_SECONDS = 20.0

SCOPE = Scope(UUID(int=1), "POST", "/orders", "k")
ASKED, ELSE = b"what was asked", b"something else"
DONE = Answer(201, {"Content-Type": "application/json", "Location": "/orders/7"}, b'{"tea":"\xeb\x85\xb9"}\0')
DONE_TOO = Answer(202, {}, b"")


class Keys(IdempotencyKeys):
    """With what a test wants to know and to move."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.database = database

    async def claimed(self, scope: Scope = SCOPE, fingerprint: bytes = ASKED) -> Claim:
        claim = await self.claim(scope, fingerprint)
        assert isinstance(claim, Claim)
        return claim

    async def done(self, claim: Claim, answer: Answer = DONE, effect: str = "done") -> None:
        """The effect and its answer, as a use case does it."""
        async with self.transaction():
            await self.take_effect(effect)
            await self.keep(claim, answer)

    async def take_effect(self, text: str) -> None:
        async with self.database.connection() as connection:
            await connection.execute("INSERT INTO effects VALUES (%s)", [text])

    async def effects(self) -> list[str]:
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT text FROM effects ORDER BY text")
            return [text for (text,) in await cursor.fetchall()]

    async def move_back(self, column: str, seconds: float) -> None:
        """As if so much time had gone by."""
        query = f"UPDATE idempotency_keys SET {column} = {column} - make_interval(secs => %s)"
        async with self.database.connection() as connection:
            await connection.execute(query.encode(), [seconds])

    async def let_claims_run_out(self) -> None:
        await self.move_back("claimed_until", CLAIM_SECONDS + 1)

    async def kept(self) -> list[str]:
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT key FROM idempotency_keys ORDER BY key")
            return [key for (key,) in await cursor.fetchall()]


@asynccontextmanager
async def opened(url: Secret, folder: Path, pool_size: int = 10) -> AsyncIterator[Keys]:
    async with Database(url, folder, pool_size=pool_size) as database:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await database.wait_until_migrated()
        yield Keys(database)


@pytest.fixture
def folder(migrations: Write) -> Path:
    """The table as the module's docstring has it, and one for effects."""
    return migrations(**{"0001_create_idempotency_keys": TABLE, "0002_create_effects": EFFECTS})


@pytest.fixture(scope="module")
def used_url(own_postgres: OwnPostgres) -> Secret:
    return own_postgres.create_database(f"test_{secrets.token_hex(6)}")


@pytest.fixture
async def keys(used_url: Secret, folder: Path) -> AsyncIterator[Keys]:
    """With empty tables. Making a database takes ten times as long as emptying one."""
    async with opened(used_url, folder) as keys:
        async with keys.database.connection() as connection:
            await connection.execute("TRUNCATE idempotency_keys, effects")
        yield keys


async def refused(keys: Keys, fingerprint: bytes = ASKED) -> str:
    with pytest.raises((Conflict, Invalid)) as refusal:
        await keys.claim(SCOPE, fingerprint)
    assert (refusal.value.retry_after is not None) is isinstance(refusal.value, Conflict)
    return refusal.value.code


async def test_what_was_answered_is_the_answer_from_then_on(keys: Keys) -> None:
    await keys.done(await keys.claimed())
    assert await keys.claim(SCOPE, ASKED) == DONE
    await keys.let_claims_run_out()
    assert await keys.claim(SCOPE, ASKED) == DONE
    assert await keys.effects() == ["done"]


async def test_while_it_is_worked_at_nobody_else_gets_the_key(keys: Keys) -> None:
    claim = await keys.claimed()
    assert await refused(keys) == "idempotency-key-in-use"
    await keys.move_back("claimed_until", CLAIM_SECONDS - DEADLINE_SECONDS)
    assert await refused(keys) == "idempotency-key-in-use"
    await keys.done(claim)
    assert await keys.claim(SCOPE, ASKED) == DONE


async def test_a_key_is_for_one_content(keys: Keys) -> None:
    claim = await keys.claimed()
    assert await refused(keys, ELSE) == "idempotency-key-reused"
    await keys.done(claim)
    assert await refused(keys, ELSE) == "idempotency-key-reused"
    assert await keys.claim(SCOPE, ASKED) == DONE


@pytest.mark.parametrize(
    "scope",
    [
        replace(SCOPE, user_id=UUID(int=2)),
        replace(SCOPE, method="PUT"),
        replace(SCOPE, path="/orders/7"),
        replace(SCOPE, key="K"),
    ],
    ids=["user", "method", "path", "key"],
)
async def test_a_key_counts_in_its_scope(keys: Keys, scope: Scope) -> None:
    await keys.done(await keys.claimed())
    claim = await keys.claimed(scope, ELSE)
    await keys.done(claim, DONE_TOO)
    assert await keys.claim(SCOPE, ASKED) == DONE
    assert await keys.claim(scope, ELSE) == DONE_TOO


# Claims that run out


async def test_whoever_takes_a_key_over_shuts_the_first_holder_out(keys: Keys) -> None:
    slow = await keys.claimed()
    await keys.let_claims_run_out()
    quick = await keys.claimed()
    with pytest.raises(Conflict) as shut_out:
        await keys.done(slow, effect="slow")
    assert shut_out.value.code == "idempotency-key-in-use"
    assert await keys.effects() == []
    await keys.done(quick, DONE_TOO, "quick")
    with pytest.raises(Conflict):
        await keys.done(slow, effect="slow")
    assert await keys.effects() == ["quick"]
    assert await keys.claim(SCOPE, ASKED) == DONE_TOO


async def test_a_claim_that_has_run_out_counts_until_it_is_taken_over(keys: Keys) -> None:
    claim = await keys.claimed()
    await keys.let_claims_run_out()
    await keys.done(claim)
    assert await keys.claim(SCOPE, ASKED) == DONE


async def test_a_key_that_is_taken_over_may_be_for_something_else(keys: Keys) -> None:
    await keys.claimed()
    await keys.let_claims_run_out()
    await keys.done(await keys.claimed(fingerprint=ELSE))
    assert await refused(keys, ASKED) == "idempotency-key-reused"
    assert await keys.claim(SCOPE, ELSE) == DONE


async def test_a_taken_over_key_has_its_claim_for_as_long_as_any(keys: Keys) -> None:
    await keys.claimed()
    await keys.let_claims_run_out()
    await keys.claimed()
    assert await refused(keys) == "idempotency-key-in-use"


# Answers that grow old


async def test_after_a_day_an_answer_counts_no_more(keys: Keys) -> None:
    await keys.done(await keys.claimed())
    await keys.move_back("claimed_at", KEPT_HOURS * 3600 - 60)
    assert await keys.claim(SCOPE, ASKED) == DONE
    await keys.move_back("claimed_at", 61)
    await keys.done(await keys.claimed(fingerprint=ELSE), DONE_TOO, "done too")
    assert await keys.claim(SCOPE, ELSE) == DONE_TOO
    assert await keys.effects() == ["done", "done too"]


async def test_what_is_old_is_forgotten(keys: Keys) -> None:
    await keys.done(await keys.claimed(replace(SCOPE, key="answered")))
    await keys.claimed(replace(SCOPE, key="left behind"))
    await keys.move_back("claimed_at", KEPT_HOURS * 3600 - 60)
    await keys.claimed(replace(SCOPE, key="new"))
    await keys.upkeep().work()
    assert await keys.kept() == ["answered", "left behind", "new"]
    await keys.move_back("claimed_at", 61)
    await keys.upkeep().work()
    assert await keys.kept() == ["new"]


# Giving up


async def test_a_key_that_is_given_up_is_as_it_was_before(keys: Keys) -> None:
    await keys.give_up(await keys.claimed())
    assert await keys.kept() == []
    await keys.done(await keys.claimed(fingerprint=ELSE))
    assert await keys.claim(SCOPE, ELSE) == DONE


async def test_what_was_answered_cannot_be_given_up(keys: Keys) -> None:
    claim = await keys.claimed()
    await keys.done(claim)
    await keys.give_up(claim)
    assert await keys.claim(SCOPE, ASKED) == DONE


async def test_whoever_was_shut_out_gives_up_nothing(keys: Keys) -> None:
    slow = await keys.claimed()
    await keys.let_claims_run_out()
    quick = await keys.claimed()
    await keys.give_up(slow)
    assert await refused(keys) == "idempotency-key-in-use"
    await keys.done(quick)


# With the effect


async def test_effect_and_answer_are_true_together_or_not_at_all(keys: Keys) -> None:
    claim = await keys.claimed()

    async def do_and_fail() -> None:
        async with keys.transaction():
            await keys.done(claim)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await do_and_fail()
    assert await keys.effects() == []
    assert await refused(keys) == "idempotency-key-in-use"
    await keys.done(claim)
    assert await keys.effects() == ["done"]
    assert await keys.claim(SCOPE, ASKED) == DONE


async def test_a_claim_has_one_answer(keys: Keys) -> None:
    claim = await keys.claimed()
    await keys.done(claim)
    with pytest.raises(Conflict):
        await keys.done(claim, DONE_TOO)
    assert await keys.effects() == ["done"]
    assert await keys.claim(SCOPE, ASKED) == DONE


async def somebody_waits(keys: Keys) -> bool:
    query = """
        SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'"""
    async with keys.database.connection() as connection:
        row = await (await connection.execute(query)).fetchone()
    return row == (1,)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("commits", [True, False], ids=["commits", "fails"])
async def test_whoever_asks_while_the_effect_commits_learns_how_it_ends(keys: Keys, *, commits: bool) -> None:
    claim, has_kept, may_end = await keys.claimed(), asyncio.Event(), asyncio.Event()
    await keys.let_claims_run_out()

    async def do() -> None:
        async with keys.transaction():
            await keys.done(claim)
            has_kept.set()
            await may_end.wait()
            if not commits:
                raise ZeroDivisionError

    doing = asyncio.create_task(do())
    await eventually(has_kept.is_set)
    asking = asyncio.create_task(keys.claim(SCOPE, ASKED))
    await eventually(lambda: somebody_waits(keys))
    assert not asking.done()
    may_end.set()
    await asyncio.wait([doing])
    if commits:
        assert await asking == DONE
    else:
        assert isinstance(await asking, Claim)
        assert isinstance(doing.exception(), ZeroDivisionError)


async def test_what_follows_a_claim_waits_for_the_disk_again(url: Secret, folder: Path) -> None:
    async with opened(url, folder, pool_size=1) as keys:
        await keys.claimed()
        async with keys.database.connection() as connection:
            cursor = await connection.execute("SHOW synchronous_commit")
            assert await cursor.fetchone() == ("on",)


async def test_without_the_database_everything_is_unavailable(folder: Path) -> None:
    async with Database(Secret("postgresql://nobody@127.0.0.1:1/none"), folder) as database:
        keys = IdempotencyKeys(database)
        claim = Claim(SCOPE, UUID(int=1))
        for call in (keys.claim(SCOPE, ASKED), keys.keep(claim, DONE), keys.give_up(claim), keys.forget()):
            with pytest.raises(Unavailable):
                await call


# Races


async def many_claims(keys: Keys) -> list[Claim]:
    """Those that 20 at once get; all others are told that the key is in use."""

    async def claim() -> Claim | None:
        try:
            return await keys.claimed()
        except Conflict:
            return None

    return [each for each in await asyncio.gather(*(claim() for _ in range(20))) if each is not None]


@pytest.mark.races
async def test_of_many_at_once_one_gets_the_key(keys: Keys) -> None:
    (first,) = await many_claims(keys)
    await keys.let_claims_run_out()
    (second,) = await many_claims(keys)
    with pytest.raises(Conflict):
        await keys.done(first)
    await keys.done(second)
    answers = await asyncio.gather(*(keys.claim(SCOPE, ASKED) for _ in range(20)))
    assert answers == [DONE] * 20


@pytest.mark.races
async def test_a_slow_holder_beside_its_successor_takes_effect_once(keys: Keys) -> None:
    scopes = [replace(SCOPE, key=f"{number:02}") for number in range(20)]
    slow = await asyncio.gather(*map(keys.claimed, scopes))
    await keys.let_claims_run_out()

    async def finish(claim: Claim) -> bool:
        try:
            await keys.done(claim, effect=claim.scope.key)
        except Conflict:
            return False
        return True

    async def succeed(scope: Scope) -> bool:
        claim = await keys.claim(scope, ASKED)
        return isinstance(claim, Claim) and await finish(claim)

    outcomes = await asyncio.gather(*map(finish, slow), *map(succeed, scopes))
    assert [one + other for one, other in zip(outcomes[:20], outcomes[20:], strict=True)] == [1] * 20
    assert await keys.effects() == [each.key for each in scopes]


# The table


def bare(sql: str) -> str:
    """Without comments and layout."""
    return " ".join(re.sub("--.*", "", sql).split())


def tables() -> dict[str, str]:
    """The table as each migration makes it, and all that stands there after it."""
    files = {path: path.read_text() for path in sorted(CHECKOUT.glob("services/*/migrations/*.sql"))}
    return {
        str(path.relative_to(CHECKOUT)): sql[sql.index("CREATE TABLE idempotency_keys") :]
        for path, sql in files.items()
        if "CREATE TABLE idempotency_keys" in sql
    }


@pytest.mark.parametrize("migration", tables())
def test_every_service_has_the_table_that_is_meant(migration: str) -> None:
    assert bare(tables()[migration]).startswith(bare(TABLE))


def test_there_are_services_with_the_table() -> None:
    assert "services/order/migrations/0001_create_orders.sql" in tables()
