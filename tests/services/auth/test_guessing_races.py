"""Guessing in parallel: whoever sends all guesses at the same moment hopes that they count as one.

Every attempt is counted before its password is checked, by one statement that holds the row for as long as it
decides. So the fiftieth attempt sees what the forty-ninth has left, however close together they come.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from shared.config import Secret
from tests.engines import Engines
from tests.services.auth.conftest import NOBODY, PASSWORD, AuthServer, auth_server
from tests.waiting import eventually

pytestmark = pytest.mark.races

AT_ONCE = 50
FREE = 10  # failures of one account, as the settings' default is
LONG_LOCKS = {"LOGIN_LOCK_SECONDS": "600"}  # no lock ends before its test does
ALICE = "alice@example.com"
HOME = "192.0.2.1"
WAITING_FOR_A_ROW = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
async def servers(engines: Engines, database_url: Secret) -> AsyncIterator[list[AuthServer]]:
    """Two auth servers on one database."""
    async with (
        auth_server(database_url, engines.redis_url, **LONG_LOCKS) as one,
        auth_server(database_url, engines.redis_url, **LONG_LOCKS) as other,
    ):
        await one.sign_up(ALICE)
        yield [one, other]


async def log_in(auth: AuthServer, email: str, password: str, address: str = "203.0.113.7") -> int:
    """The status."""
    body = {"email": email, "password": password}
    return (await auth.call("POST", "/auth/login", body, replace(NOBODY, client_address=address))).status


async def all_at_once(
    servers: Sequence[AuthServer], email: str, passwords: Sequence[str], address: str = "203.0.113.7"
) -> Counter[int]:
    """How often each status came back; the servers take turns."""
    turns = (servers[turn % len(servers)] for turn in range(len(passwords)))
    attempts = (
        log_in(auth, email, password, address) for auth, password in zip(turns, passwords, strict=True)
    )
    return Counter(await asyncio.gather(*attempts))


async def failures(auth: AuthServer, kind: str) -> int:
    return sum(row[0] for row in await auth.query(f"SELECT failures FROM guesses WHERE kind = '{kind}'"))


@pytest.mark.parametrize("email", [ALICE, "nobody@example.com"])
@pytest.mark.parametrize("how_many_servers", [1, 2])
async def test_fifty_wrong_guesses_count_fifty_times(
    servers: list[AuthServer], how_many_servers: int, email: str
) -> None:
    """Only the free ones are checked, on one server or on several, whether the account exists or not."""
    statuses = await all_at_once(servers[:how_many_servers], email, ["wrong"] * AT_ONCE)
    assert statuses == {401: FREE, 429: AT_ONCE - FREE}
    assert await failures(servers[0], "account") == AT_ONCE
    assert await failures(servers[0], "address") == AT_ONCE
    assert await servers[0].query("SELECT locks FROM guesses WHERE kind = 'account'") == [(1,)]


async def test_the_right_password_among_many_guesses_is_found_by_luck_only(servers: list[AuthServer]) -> None:
    """It is one of those that are checked, or refused like the others: 429 says nothing of a password."""
    passwords = [f"wrong {number}" for number in range(AT_ONCE - 1)]
    passwords.insert(AT_ONCE // 2, PASSWORD)
    statuses = await all_at_once(servers, ALICE, passwords)
    assert statuses.keys() <= {200, 401, 429}
    if statuses[200] == 0:
        assert statuses[401] == FREE
    assert await failures(servers[0], "address") == AT_ONCE - statuses[200]


async def test_guesses_at_many_accounts_from_one_address(engines: Engines, database_url: Secret) -> None:
    """Spreading the guesses over accounts does not help; accounts that it does not get to are not counted."""
    settings = {**LONG_LOCKS, "LOGIN_FREE_FAILURES_ADDRESS": str(FREE)}
    async with auth_server(database_url, engines.redis_url, **settings) as auth:
        emails = [f"{number}@example.com" for number in range(AT_ONCE)]
        statuses = Counter(await asyncio.gather(*(log_in(auth, email, "wrong") for email in emails)))
        assert statuses == {401: FREE, 429: AT_ONCE - FREE}
        assert await failures(auth, "address") == AT_ONCE
        assert await auth.query("SELECT count(*) FROM guesses WHERE kind = 'account'") == [(FREE,)]


async def test_logins_leave_the_count_of_their_address_as_it_was(servers: list[AuthServer]) -> None:
    """A household or an office: each login is counted, and taken back."""
    for _ in range(3):
        await log_in(servers[0], "nobody@example.com", "wrong")
    statuses = await all_at_once(servers, ALICE, [PASSWORD] * (FREE - 1))
    assert statuses == {200: FREE - 1}
    assert await failures(servers[0], "address") == 3
    assert await failures(servers[0], "account") == 3  # of nobody's account


async def test_a_crowd_that_logs_in_leaves_no_lock_behind(engines: Engines, database_url: Secret) -> None:
    """More logins at once than failures are free: some must come again, but nothing is held against them."""
    settings = {**LONG_LOCKS, "LOGIN_FREE_FAILURES_ADDRESS": str(FREE)}
    async with auth_server(database_url, engines.redis_url, **settings) as auth:
        await auth.sign_up(ALICE)
        for _ in range(5):
            assert await log_in(auth, ALICE, PASSWORD, HOME) == 200
            statuses = await all_at_once([auth], ALICE, [PASSWORD] * AT_ONCE, HOME)
            assert statuses.total() == statuses[200] + statuses[429] == AT_ONCE
            assert statuses[200] >= FREE
        assert await auth.query("SELECT failures - refused, locks, locked_until FROM guesses") == [
            (0, 0, None)
        ]


async def test_the_owner_gets_in_while_somebody_guesses(servers: list[AuthServer]) -> None:
    """From a network that the account knows. Neither waits for the other for ever, either."""
    assert await log_in(servers[0], ALICE, PASSWORD, HOME) == 200
    for _ in range(5):
        guesses, owner = await asyncio.gather(
            all_at_once(servers, ALICE, ["wrong"] * (AT_ONCE // 5)), log_in(servers[1], ALICE, PASSWORD, HOME)
        )
        assert owner == 200
        assert guesses.keys() <= {401, 429}


async def test_whoever_waits_to_be_counted_leaves_connections_to_others(servers: list[AuthServer]) -> None:
    """All attempts from one address want one row; whoever waits for it holds a connection."""
    auth = servers[0]
    turns = auth.services.stored.guesses._turns
    await log_in(auth, ALICE, "wrong")
    async with auth.database.transaction() as connection:
        await connection.execute("SELECT FROM guesses WHERE kind = 'address' FOR UPDATE")
        attempts = asyncio.create_task(all_at_once([auth], ALICE, ["wrong"] * AT_ONCE))
        await eventually(lambda: turns.waiting == AT_ONCE - 1)
        assert await asyncio.create_task(auth.query(WAITING_FOR_A_ROW)) in ([(0,)], [(1,)])
    assert (await attempts).total() == AT_ONCE
    assert (turns.running, turns.waiting) == (0, 0)


async def test_cleaning_up_and_counting_do_not_wait_for_each_other_for_ever(
    servers: list[AuthServer],
) -> None:
    """Both lock rows; a deadlock would be answered with 503."""
    emails = [f"{number}@example.com" for number in range(10)]
    for _ in range(5):
        await servers[0].execute("UPDATE guesses SET last_attempt_at = '2020-01-01', locked_until = NULL")
        counted = [log_in(servers[0], email, "wrong") for email in emails * 2]
        cleaned = [servers[1].services.stored.guesses.drop_forgotten() for _ in range(10)]
        statuses, _ = await asyncio.gather(asyncio.gather(*counted), asyncio.gather(*cleaned))
        assert set(statuses) == {401}
