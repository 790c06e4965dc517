"""Keys as a handler meets them: a made-up service whose effects are rows of a real database."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from msgspec import UNSET, Struct, UnsetType

from shared.config import Secret
from shared.context import Principal
from shared.db import idempotency_keys
from shared.db.database import Database
from shared.db.idempotency_keys import CLAIM_SECONDS, IdempotencyKeys
from shared.errors import (
    ApplicationError,
    Conflict,
    DeadlineExceeded,
    FieldError,
    Forbidden,
    Invalid,
    Malformed,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unavailable,
)
from shared.http.messages import Headers, Request, Response, json_response
from shared.http.routing import Route
from shared.idempotency import ClaimedCall, IdempotentCalls, Replay, read_key
from tests.engines import Engines
from tests.services.asking import CUSTOMER, OTHER_CUSTOMER, Asking, bad_fields, header, problem_code, read
from tests.waiting import eventually

DEADLINE_SECONDS = 20.0
PATHS = ("/wishes", "/others", "/wishes/{number}/again")


class Wish(Struct):
    """What is asked."""

    text: str
    note: str | UnsetType = UNSET


Work = Callable[[ClaimedCall, int], Awaitable[Response]]  # the call, and the how manieth work it is


class Wishes(Asking):
    """A service that grants wishes, as a test says."""

    def __init__(self, database: Database) -> None:
        super().__init__([Route(method, path, self._grant) for method in ("POST", "PUT") for path in PATHS])
        self.database = database
        self.calls = IdempotentCalls(IdempotencyKeys(database))
        self.wish = Wish("tea")
        self.work: Work = self.granted
        self.replay: Replay | None = None
        self.worked = 0
        self.begun = asyncio.Event()

    async def _grant(self, request: Request) -> Response:
        async def work(call: ClaimedCall) -> Response:
            self.worked += 1
            self.begun.set()
            return await self.work(call, self.worked)

        return await self.calls.answer(request, self.wish, work, self.replay)

    async def granted(self, call: ClaimedCall, number: int) -> Response:
        async with call.effect():
            await self.take_effect(number)
            return await call.keep(json_response(201, {"number": number}, [("Location", "/wishes/7")]))

    async def take_effect(self, number: int) -> None:
        async with self.database.connection() as connection:
            await connection.execute("INSERT INTO effects VALUES (%s)", [number])

    async def effects(self) -> list[int]:
        async with self.database.connection() as connection:
            cursor = await connection.execute("SELECT number FROM effects ORDER BY number")
            return [number for (number,) in await cursor.fetchall()]

    async def let_claims_run_out(self) -> None:
        query = "UPDATE idempotency_keys SET claimed_until = claimed_until - make_interval(secs => %s)"
        async with self.database.connection() as connection:
            await connection.execute(query, [CLAIM_SECONDS + 1])

    async def wished(
        self, key: str = "k", by: Principal = CUSTOMER, method: str = "POST", target: str = "/wishes"
    ) -> Response:
        return await self.ask(method, target, by=by, idempotency_key=key)

    def refuse(self, failure: BaseException) -> None:
        async def refused(_: ClaimedCall, __: int) -> Response:
            raise failure

        self.work = refused

    def wait_until(self, may_go_on: asyncio.Event, then: Work) -> None:
        async def waited(call: ClaimedCall, number: int) -> Response:
            await may_go_on.wait()
            return await then(call, number)

        self.work = waited


@pytest.fixture(scope="module")
def used_database_url(engines: Engines) -> Secret:
    url = engines.new_database()
    with psycopg.connect(url.value, autocommit=True) as connection:
        connection.execute(dedent((idempotency_keys.__doc__ or "").partition(":\n\n")[2]).encode())
        connection.execute("CREATE TABLE effects (number int NOT NULL)")
    return url


@pytest.fixture
async def wishes(used_database_url: Secret, tmp_path: Path) -> AsyncIterator[Wishes]:
    with psycopg.connect(used_database_url.value, autocommit=True) as connection:
        connection.execute("TRUNCATE idempotency_keys, effects")
    async with Database(used_database_url, tmp_path) as database:
        async with asyncio.timeout(DEADLINE_SECONDS):
            await database.wait_until_migrated()
        yield Wishes(database)


def is_replayed(response: Response) -> bool:
    return header(response, "idempotent-replayed") == "true"


async def test_asked_twice_it_is_done_once(wishes: Wishes) -> None:
    first, again = await wishes.wished(), await wishes.wished()
    assert (first.status, read(first), is_replayed(first)) == (201, {"number": 1}, False)
    assert (again.status, read(again), is_replayed(again)) == (201, {"number": 1}, True)
    for name in ("content-type", "location"):
        assert header(again, name) == header(first, name)
    assert await wishes.effects() == [1]


async def test_another_key_is_another_call(wishes: Wishes) -> None:
    assert [read(await wishes.wished(key))["number"] for key in ("k", "l", "K")] == [1, 2, 3]
    assert await wishes.effects() == [1, 2, 3]


async def test_a_key_counts_for_one_user_method_and_path(wishes: Wishes) -> None:
    await wishes.wished()
    assert not is_replayed(await wishes.wished(by=OTHER_CUSTOMER))
    assert not is_replayed(await wishes.wished(method="PUT"))
    assert not is_replayed(await wishes.wished(target="/others"))
    assert await wishes.effects() == [1, 2, 3, 4]


async def test_a_path_may_be_spelled_in_many_ways(wishes: Wishes) -> None:
    await wishes.wished()
    for target in ("/wishes?page=7", "/%77ishes"):
        assert is_replayed(await wishes.wished(target=target))
    await wishes.wished(target="/wishes/7/again")
    assert is_replayed(await wishes.wished(target="/wishes/%37/again"))
    assert not is_replayed(await wishes.wished(target="/wishes/8/again"))
    assert await wishes.effects() == [1, 2, 3]


async def test_a_key_is_for_one_content(wishes: Wishes) -> None:
    await wishes.wished()
    for other in (Wish("milk"), Wish("tea", ""), Wish("tea", "hot")):
        wishes.wish = other
        refused = await wishes.wished()
        assert (refused.status, problem_code(refused)) == (422, "idempotency-key-reused")
    wishes.wish = Wish("tea")
    assert is_replayed(await wishes.wished())
    assert await wishes.effects() == [1]


async def test_a_replay_may_tell_what_is_true_by_now(wishes: Wishes) -> None:
    async def newer(first: Response) -> Response:
        return Response(200, first.headers, first.body)

    wishes.replay = newer
    assert (await wishes.wished()).status == 201
    again = await wishes.wished()
    assert (again.status, read(again), is_replayed(again)) == (200, {"number": 1}, True)


# While it is worked at


async def test_while_it_is_worked_at_others_are_told_so(wishes: Wishes) -> None:
    may_end = asyncio.Event()
    wishes.wait_until(may_end, wishes.granted)
    first = asyncio.create_task(wishes.wished())
    await eventually(wishes.begun.is_set)
    refused = await wishes.wished()
    assert (refused.status, problem_code(refused)) == (409, "idempotency-key-in-use")
    assert header(refused, "retry-after") == "1"
    assert not is_replayed(refused)
    may_end.set()
    assert (await first).status == 201
    assert is_replayed(await wishes.wished())


async def test_whoever_is_overtaken_takes_no_effect(wishes: Wishes) -> None:
    may_end = asyncio.Event()
    wishes.wait_until(may_end, wishes.granted)
    slow = asyncio.create_task(wishes.wished())
    await eventually(wishes.begun.is_set)
    await wishes.let_claims_run_out()
    wishes.work = wishes.granted
    assert read(await wishes.wished()) == {"number": 2}
    may_end.set()
    overtaken = await slow
    assert (overtaken.status, problem_code(overtaken)) == (409, "idempotency-key-in-use")
    assert await wishes.effects() == [2]
    assert read(await wishes.wished()) == {"number": 2}


@pytest.mark.parametrize(
    ("failure", "status"), [(NotFound("None."), 409), (ZeroDivisionError(), 500)], ids=["refusal", "bug"]
)
async def test_whoever_is_overtaken_says_nothing_for_the_other(
    wishes: Wishes, failure: Exception, status: int
) -> None:
    async def fail(_: ClaimedCall, __: int) -> Response:
        raise failure

    slow_may_end, quick_may_end = asyncio.Event(), asyncio.Event()
    wishes.wait_until(slow_may_end, fail)
    slow = asyncio.create_task(wishes.wished())
    await eventually(wishes.begun.is_set)
    await wishes.let_claims_run_out()
    wishes.begun.clear()
    wishes.wait_until(quick_may_end, wishes.granted)
    quick = asyncio.create_task(wishes.wished())
    await eventually(wishes.begun.is_set)
    slow_may_end.set()
    assert (await slow).status == status
    assert problem_code(await wishes.wished()) == "idempotency-key-in-use"
    quick_may_end.set()
    assert (await quick).status == 201
    assert await wishes.effects() == [2]


# What is kept, and what is not


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Malformed("What?"), 400),
        (Forbidden("No."), 403),
        (NotFound("None."), 404),
        (Conflict("The price has changed.", code="price-changed"), 409),
        (PreconditionFailed("Older."), 412),
        (Invalid("Some fields.", (FieldError("text", "Must be tea"),)), 422),
    ],
    ids=["malformed", "forbidden", "not found", "conflict", "precondition failed", "invalid"],
)
async def test_refusals_are_answers_too(wishes: Wishes, refusal: ApplicationError, status: int) -> None:
    wishes.refuse(refusal)
    first = await wishes.wished()
    wishes.work = wishes.granted
    again = await wishes.wished()
    assert (first.status, is_replayed(first)) == (status, False)
    assert (again.status, read(again), is_replayed(again)) == (status, read(first), True)
    assert header(again, "content-type") == "application/problem+json"
    assert await wishes.effects() == []


async def test_a_kept_refusal_names_its_fields(wishes: Wishes) -> None:
    wishes.refuse(Invalid("Some fields.", (FieldError("text", "Must be tea"),)))
    for _ in range(2):
        assert bad_fields(await wishes.wished()) == ["text"]


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (Unavailable("Away.", retry_after=1.0), 503),
        (TooManyRequests("Not so fast.", retry_after=1.0), 429),
        (DeadlineExceeded("Late."), 504),
        (ApplicationError("?"), 500),
        (ZeroDivisionError(), 500),
    ],
    ids=["unavailable", "for now", "late", "internal", "bug"],
)
async def test_failures_of_ours_and_of_the_moment_are_not_kept(
    wishes: Wishes, failure: Exception, status: int
) -> None:
    wishes.refuse(failure)
    failed = await wishes.wished()
    wishes.work = wishes.granted
    assert (failed.status, is_replayed(failed)) == (status, False)
    wishes.wish = Wish("something else")
    assert (await wishes.wished()).status == 201
    assert await wishes.effects() == [2]


async def test_whoever_is_cancelled_leaves_the_key(wishes: Wishes) -> None:
    wishes.wait_until(asyncio.Event(), wishes.granted)
    first = asyncio.create_task(wishes.wished())
    await eventually(wishes.begun.is_set)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    wishes.work = wishes.granted
    assert (await wishes.wished()).status == 201


@pytest.mark.parametrize(
    ("failure", "status"),
    [(ZeroDivisionError(), 500), (Unavailable("Away."), 503), (Conflict("No."), 409)],
    ids=["bug", "unavailable", "refusal"],
)
async def test_what_fails_after_its_answer_has_not_happened(
    wishes: Wishes, failure: Exception, status: int
) -> None:
    async def fail_in_the_end(call: ClaimedCall, number: int) -> Response:
        async with call.effect():
            await wishes.granted(call, number)
            raise failure

    wishes.work = fail_in_the_end
    assert (await wishes.wished()).status == status
    assert await wishes.effects() == []
    wishes.work = wishes.granted
    again = await wishes.wished()
    assert (again.status, is_replayed(again)) == (201, False)
    assert await wishes.effects() == [2]


async def test_what_fails_after_its_effect_has_happened(wishes: Wishes) -> None:
    async def fail_afterwards(call: ClaimedCall, number: int) -> Response:
        await wishes.granted(call, number)
        raise ZeroDivisionError

    wishes.work = fail_afterwards
    assert (await wishes.wished()).status == 500
    again = await wishes.wished()
    assert (again.status, read(again), is_replayed(again)) == (201, {"number": 1}, True)
    assert await wishes.effects() == [1]


@pytest.mark.races
async def test_many_at_once_are_done_once(wishes: Wishes) -> None:
    answers = await asyncio.gather(*(wishes.wished() for _ in range(20)))
    done = [read(each) for each in answers if each.status == 201]
    assert done == [{"number": 1}] * len(done)
    assert {problem_code(each) for each in answers if each.status != 201} <= {"idempotency-key-in-use"}
    assert await wishes.effects() == [1]


# Keys


def with_key(*values: str) -> Request:
    return Request("POST", "/wishes", Headers([("Idempotency-Key", value) for value in values]))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("k", "k"),
        ('"k"', "k"),
        (' "k" ', "k"),
        ('"two words"', "two words"),
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ("a" * 255, "a" * 255),
        ('"' + "a" * 255 + '"', "a" * 255),
        ("!#~", "!#~"),
    ],
    ids=["bare", "quoted", "blanks", "words", "uuid", "long", "long and quoted", "marks"],
)
def test_keys(text: str, key: str) -> None:
    assert read_key(with_key(text)) == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        '""',
        '"',
        '"k',
        'k"',
        '"k";a=1',
        r'"\"k"',
        "two words",
        "tab\tbed",
        "cl\xe9",
        "nul\0",
        "line\nline",
        pytest.param("a" * 256, id="too long"),
        pytest.param(f'"{"a" * 256}"', id="quoted and too long"),
    ],
    ids=repr,
)
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_key(with_key(text))
    assert refused.value.code == "idempotency-key-malformed"


def test_two_keys_are_none() -> None:
    for values in (["k", "k"], ['"k"', '"k"']):
        with pytest.raises(Malformed):
            read_key(with_key(*values))


async def test_without_a_key_nothing_is_done(wishes: Wishes) -> None:
    missing = await wishes.ask("POST", "/wishes", by=CUSTOMER)
    assert (missing.status, problem_code(missing)) == (400, "idempotency-key-missing")
    bad = await wishes.wished("two words")
    assert (bad.status, problem_code(bad)) == (400, "idempotency-key-malformed")
    assert wishes.worked == 0


async def test_quoted_or_bare_it_is_the_same_key(wishes: Wishes) -> None:
    assert not is_replayed(await wishes.wished("k"))
    assert is_replayed(await wishes.wished('"k"'))
    assert await wishes.effects() == [1]
