"""One code, many hands: whoever reads a code over a shoulder tries to be faster than its owner.

Each test lets many requests use the same code at the same moment. One may have it; for the others it is used.
"""

import asyncio
from collections import Counter

import pytest

from shared.config import Secret
from tests.engines import Engines
from tests.services.auth.conftest import Answer, AuthServer, auth_server
from tests.services.auth.phone import enrolled, owner

pytestmark = pytest.mark.races

AT_ONCE = 50
MANY_GUESSES = {"LOGIN_FREE_FAILURES_ACCOUNT": "1000", "LOGIN_FREE_FAILURES_ADDRESS": "1000"}


def outcomes(answers: list[Answer]) -> Counter[str]:
    """How often the code was taken, and why it was not."""
    return Counter(
        "taken" if answer.status < 300 else str(answer.document["type"]).rpartition(":")[2]
        for answer in answers
    )


@pytest.mark.parametrize("kind", ["one-time code", "recovery code"])
async def test_parallel_logins_with_one_code_give_one_session(
    engines: Engines, database_url: Secret, kind: str
) -> None:
    """On two auth servers, with an attacker who need not be afraid of being locked out."""
    async with (
        auth_server(database_url, engines.redis_url, **MANY_GUESSES) as one,
        auth_server(database_url, engines.redis_url, **MANY_GUESSES) as other,
    ):
        alice, recovery_codes = await enrolled(one)
        code = recovery_codes[0] if kind == "recovery code" else await alice.fresh_code()
        body = {"email": alice.email, "password": alice.password, "code": code}
        servers = [one, other] * (AT_ONCE // 2)
        answers = await asyncio.gather(*(each.call("POST", "/auth/login", body) for each in servers))
        assert outcomes(answers) == {"taken": 1, "second-factor-wrong": AT_ONCE - 1}
        assert await one.query("SELECT count(*) FROM sessions") == [(1,)]


async def test_ten_recovery_codes_give_ten_sessions(engines: Engines, database_url: Secret) -> None:
    """All at once, each five times: no login takes another one's code, or waits for it for ever."""
    async with auth_server(database_url, engines.redis_url, **MANY_GUESSES) as auth:
        alice, recovery_codes = await enrolled(auth)
        answers = await asyncio.gather(*(alice.log_in(code) for code in recovery_codes * 5))
        assert outcomes(answers) == {"taken": 10, "second-factor-wrong": 40}
        assert await auth.query("SELECT count(*) FROM sessions") == [(10,)]


async def test_two_confirmations_at_once_give_one_set_of_recovery_codes(auth: AuthServer) -> None:
    alice = await owner(auth)
    await alice.enrol()
    code = await alice.code()
    answers = await asyncio.gather(*(alice.confirm(code) for _ in range(5)))
    assert outcomes(answers) == {"taken": 1, "second-factor-enabled": 4}
    assert await auth.query("SELECT count(*) FROM recovery_codes") == [(10,)]


async def test_a_secret_is_confirmed_or_replaced_but_never_both(auth: AuthServer) -> None:
    """A thief with a stolen token slips in a secret of his own while the owner confirms hers."""
    alice = await owner(auth)
    for _ in range(10):
        await alice.enrol()
        secret, code = alice.secret, await alice.code()
        confirmed, replaced = await asyncio.gather(alice.confirm(code), alice.enrol())
        assert (confirmed.status, replaced.status) in {(200, 409), (422, 201)}
        if confirmed.status == 200:
            alice.secret = secret
            assert (await alice.disable(await alice.fresh_code())).status == 204


async def test_a_code_opens_a_session_or_ends_the_second_factor(auth: AuthServer) -> None:
    """With the code used by the login, nothing is disabled; the other way round, the login needs no code."""
    alice = await owner(auth)
    for _ in range(10):
        await alice.enrol()
        await alice.confirm(await alice.code())
        code = await alice.fresh_code()
        logged_in, disabled = await asyncio.gather(alice.log_in(code), alice.disable(code))
        assert (logged_in.status, disabled.status) in {(200, 422), (200, 204)}
        is_there = await auth.query("SELECT confirmed_at IS NOT NULL FROM totp")
        assert is_there == ([(True,)] if disabled.status == 422 else [])
        await alice.auth.services.second_factor.remove(alice.user_id)


async def test_many_disable_it_once(auth: AuthServer) -> None:
    """Each with a recovery code of its own: they lock the same rows, and must do it in the same order."""
    alice, recovery_codes = await enrolled(auth)
    answers = await asyncio.gather(*(alice.disable(code) for code in recovery_codes[:5]))
    assert outcomes(answers) == {"taken": 1, "not-found": 4}


async def test_parallel_guesses_are_all_counted(engines: Engines, database_url: Secret) -> None:
    limits = {"LOGIN_FREE_FAILURES_ACCOUNT": "10", "LOGIN_LOCK_SECONDS": "600"}
    async with auth_server(database_url, engines.redis_url, **limits) as auth:
        alice, _ = await enrolled(auth)
        wrong = await alice.wrong_code()
        answers = await asyncio.gather(*(alice.disable(wrong) for _ in range(AT_ONCE)))
        assert outcomes(answers) == {"invalid": 10, "too-many-attempts": AT_ONCE - 10}
