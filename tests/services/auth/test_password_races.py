"""A password is changed while others use the old one: each test is a race that a thief would like to win.

A thief who knows the old password, or has a session already, tries at the very moment at which the owner
changes it. However the two fall out, nothing that was won with the old password is worth anything afterwards.
"""

import asyncio
from collections import Counter

import pytest

from shared.context import Principal
from tests.services.auth.conftest import PASSWORD, Answer, AuthServer

pytestmark = pytest.mark.races

ROUNDS = 10


async def change(auth: AuthServer, principal: Principal, current: str, new: str) -> Answer:
    body = {"current_password": current, "new_password": new}
    return await auth.call("POST", "/auth/password", body, principal)


def passwords() -> list[str]:
    """One to begin with, and one for each round."""
    return [PASSWORD, *(f"{PASSWORD} {turn}" for turn in range(ROUNDS))]


async def live_sessions(auth: AuthServer) -> set[str]:
    rows = await auth.query("SELECT session_id::text FROM sessions WHERE ended_at IS NULL")
    return {session_id for (session_id,) in rows}


async def test_no_login_with_the_old_password_survives_the_change(auth: AuthServer) -> None:
    """Logins check the old hash while the new one is being made.

    Who is faster than the change has a session, which the change ends; who is slower finds another version of
    the password than the one that was checked.
    """
    await auth.sign_up()
    mine = auth.claims(await auth.log_in()).principal
    outcomes: Counter[int] = Counter()
    for old, new in zip(passwords(), passwords()[1:], strict=False):
        await auth.execute("DELETE FROM guesses")  # those who were too slow the last time were not guessing
        changed, *logins = await asyncio.gather(
            change(auth, mine, old, new), *(auth.log_in(password=old) for _ in range(6))
        )
        assert changed.status == 204
        outcomes.update(login.status for login in logins)
        assert await live_sessions(auth) == {mine.session_id}
        for login in logins:
            if login.status == 200:
                assert (await auth.refresh(login.document["refresh_token"])).status == 401
    assert outcomes.keys() <= {200, 401}


async def test_of_two_changes_in_one_session_one_wins(auth: AuthServer) -> None:
    """Both have proved that they know the password; only one of them has proved that it is still valid."""
    await auth.sign_up()
    mine = auth.claims(await auth.log_in()).principal
    for old, new in zip(passwords(), passwords()[1:], strict=False):
        wishes = [new, f"not {new}"]
        answers = await asyncio.gather(*(change(auth, mine, old, wish) for wish in wishes))
        assert sorted(answer.status for answer in answers) in ([204, 409], [204, 422])
        winner = wishes[[answer.status for answer in answers].index(204)]
        opened = [(await auth.log_in(password=wish)).status for wish in wishes]
        assert opened == [200 if wish == winner else 401 for wish in wishes]
        assert (await change(auth, mine, winner, new)).status == 204


async def test_of_two_changes_in_two_sessions_one_wins_and_logs_the_other_out(auth: AuthServer) -> None:
    await auth.sign_up()
    for old, new in zip(passwords(), passwords()[1:], strict=False):
        callers = [auth.claims(await auth.log_in(password=old)).principal for _ in range(2)]
        answers = await asyncio.gather(*(change(auth, caller, old, new) for caller in callers))
        statuses = [answer.status for answer in answers]
        assert sorted(statuses) in ([204, 401], [204, 422])
        assert await live_sessions(auth) == {callers[statuses.index(204)].session_id}


async def test_no_refresh_carries_another_session_over_the_change(auth: AuthServer) -> None:
    """A refresh that is faster gives a new pair, but of a session that ends; a slower one gives nothing."""
    await auth.sign_up()
    for old, new in zip(passwords(), passwords()[1:], strict=False):
        mine, *others = [await auth.log_in(password=old) for _ in range(4)]
        principal = auth.claims(mine).principal
        tokens = [each.document["refresh_token"] for each in (mine, *others)]
        changed, *refreshed = await asyncio.gather(
            change(auth, principal, old, new), *(auth.refresh(token) for token in tokens)
        )
        assert changed.status == 204
        assert refreshed[0].status == 200  # the one that stays
        assert {answer.status for answer in refreshed} <= {200, 401}
        assert await live_sessions(auth) == {principal.session_id}
        for answer in refreshed[1:]:
            if answer.status == 200:
                assert (await auth.refresh(answer.document["refresh_token"])).status == 401
