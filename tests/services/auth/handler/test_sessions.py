"""The session list over HTTP, and ending one session."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from services.auth.domain.audit import Event
from shared.context import Principal
from shared.ids import new_id
from tests.services.auth.conftest import Answer, AuthServer, problem


async def browse(auth: AuthServer, principal: Principal, query: str = "") -> Answer:
    return await auth.call("GET", f"/auth/sessions{query}", principal=principal)


async def end(auth: AuthServer, principal: Principal, session_id: str) -> Answer:
    return await auth.call("DELETE", f"/auth/sessions/{session_id}", principal=principal)


def ids(answer: Answer) -> list[str]:
    return [item["session_id"] for item in answer.document["items"]]


async def log_in(auth: AuthServer, times: int = 1, email: str = "alice@example.com") -> list[Principal]:
    """Who that is, in `times` sessions."""
    if not await auth.query(f"SELECT FROM users WHERE email = '{email}'"):
        await auth.sign_up(email)
    return [auth.claims(await auth.log_in(email)).principal for _ in range(times)]


# The list


async def test_the_list_says_where_and_when(auth: AuthServer) -> None:
    (alice,) = await log_in(auth)
    answer = await browse(auth, alice)
    assert (answer.status, answer.headers.get("cache-control")) == (200, "no-store")
    (item,) = answer.document["items"]
    times = {
        key: datetime.fromisoformat(item.pop(key)) for key in ("created_at", "last_used_at", "expires_at")
    }
    assert item == {
        "session_id": alice.session_id,
        "device": "test/1",
        "address": "203.0.113.7",
        "current": True,
    }
    assert all(time.utcoffset() == timedelta(0) for time in times.values())
    assert abs(times["expires_at"] - times["created_at"] - timedelta(days=30)) < timedelta(minutes=1)


async def test_a_refresh_moves_the_last_use_and_the_end(auth: AuthServer) -> None:
    await auth.sign_up()
    tokens = await auth.log_in()
    alice = auth.claims(tokens).principal
    await auth.refresh(tokens.document["refresh_token"])
    (item,) = (await browse(auth, alice)).document["items"]
    assert item["last_used_at"] > item["created_at"]
    assert datetime.fromisoformat(item["expires_at"]) > (
        datetime.fromisoformat(item["created_at"]) + timedelta(days=30)
    )


async def test_live_sessions_of_the_caller_newest_first(auth: AuthServer) -> None:
    principals = await log_in(auth, 5)
    await log_in(auth, 1, "bob@example.com")
    gone, expired, own, *_ = principals
    await auth.log_out(gone)
    await auth.execute(
        f"UPDATE sessions SET expires_at = clock_timestamp() WHERE session_id = '{expired.session_id}'"
    )
    answer = await browse(auth, own)
    assert ids(answer) == [principal.session_id for principal in reversed(principals[2:])]
    assert [item["current"] for item in answer.document["items"]] == [False, False, True]


async def test_pages_follow_each_other(auth: AuthServer) -> None:
    principals = await log_in(auth, 5)
    cursor, seen, sizes = "", [], []
    while cursor is not None:
        answer = await browse(auth, principals[0], f"?limit=2&cursor={cursor}")
        seen += ids(answer)
        sizes.append(len(ids(answer)))
        cursor = answer.document["next"]
    assert seen == [principal.session_id for principal in reversed(principals)]
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize(
    ("query", "fields"),
    [("limit=0", {"limit"}), ("limit=101", {"limit"}), ("limit=x&cursor=!", {"limit", "cursor"})],
)
async def test_every_bad_parameter_is_named(auth: AuthServer, query: str, fields: set[str]) -> None:
    (alice,) = await log_in(auth)
    answer = await browse(auth, alice, f"?{query}")
    assert answer.status == 422
    assert {each["field"] for each in answer.document["errors"]} == fields


@pytest.mark.parametrize(
    ("method", "target"), [("GET", ""), ("DELETE", "/0193a5a8-0000-7000-8000-000000000000")]
)
async def test_nobody_has_no_sessions(auth: AuthServer, method: str, target: str) -> None:
    assert (await auth.call(method, f"/auth/sessions{target}")).status == 401


# Ending one


async def test_ending_one_session_ends_no_other(auth: AuthServer) -> None:
    await auth.sign_up()
    logins = [await auth.log_in() for _ in range(3)]
    own, other, spared = (auth.claims(login).principal for login in logins)
    assert (await end(auth, own, other.session_id)).status == 204
    assert ids(await browse(auth, own)) == [spared.session_id, own.session_id]
    statuses = [(await auth.refresh(login.document["refresh_token"])).status for login in logins]
    assert statuses == [200, 401, 200]
    assert await auth.query("SELECT kind, name, stored_at IS NOT NULL FROM revocations") == [
        ("sid", other.session_id, True)
    ]


async def test_ending_it_twice_is_ending_it_once(auth: AuthServer) -> None:
    own, other = await log_in(auth, 2)
    assert (await end(auth, own, other.session_id)).status == 204
    revocations = await auth.query("SELECT name, revoked_at, expires_at, stored_at FROM revocations")
    assert (await end(auth, own, other.session_id)).status == 204
    assert await auth.query("SELECT name, revoked_at, expires_at, stored_at FROM revocations") == revocations
    assert await events(auth) == ["signed-up", "session-ended"]


async def test_the_own_session_can_be_ended_too(auth: AuthServer) -> None:
    (own,) = await log_in(auth)
    assert (await end(auth, own, own.session_id)).status == 204
    assert ids(await browse(auth, own)) == []


async def test_the_session_of_somebody_else_is_nowhere(auth: AuthServer) -> None:
    (alice,) = await log_in(auth)
    (eve,) = await log_in(auth, 1, "eve@example.com")
    for session_id in (alice.session_id, str(new_id()), "x", "%20"):
        answer = await end(auth, eve, session_id)
        assert (answer.status, problem(answer)) == (404, "not-found")
    assert ids(await browse(auth, alice)) == [alice.session_id]


# What is written down


async def events(auth: AuthServer) -> list[str]:
    """In order: what users did, without the logins."""
    entries = [row.entry for row in await auth.services.audit.read()]
    return [entry.event for entry in entries if entry.user_id and entry.event is not Event.LOGGED_IN]


async def details(auth: AuthServer, event: Event) -> list[dict[str, Any]]:
    return [dict(row.entry.details) for row in await auth.services.audit.read(event=event)]


async def test_entries_say_who_when_and_from_where(auth: AuthServer) -> None:
    own, other = await log_in(auth, 2)
    alice = Principal(own.user_id, own.session_id, client_address="198.51.100.4")
    answer = await end(auth, alice, other.session_id)
    (row,) = await auth.services.audit.read(event=Event.SESSION_ENDED)
    assert (row.actor, row.address, row.email) == ("client", "198.51.100.4", "alice@example.com")
    assert row.request_id == answer.headers.get("x-request-id")
    assert (str(row.entry.user_id), str(row.entry.session_id)) == (own.user_id, other.session_id)


@pytest.mark.parametrize(("scope", "count"), [("local", "1"), ("others", "2"), ("global", "3")])
async def test_a_logout_says_how_many_sessions_it_ended(auth: AuthServer, scope: str, count: str) -> None:
    own, _, _ = await log_in(auth, 3)
    await auth.log_out(own, scope)
    await auth.log_out(own, scope)  # nothing is left to do, so nothing is written
    assert await details(auth, Event.LOGGED_OUT) == [{"scope": scope, "sessions": count}]


async def test_refreshes_and_reuse_are_written_down(auth: AuthServer) -> None:
    await auth.sign_up()
    first = (await auth.log_in()).document["refresh_token"]
    second = (await auth.refresh(first)).document["refresh_token"]
    await auth.refresh(first)
    await auth.refresh(second)
    assert (await auth.refresh(first)).status == 401
    assert (await auth.refresh(first)).status == 401  # it has ended by now: nothing more happens
    assert (await auth.refresh("rubbish")).status == 401
    assert await events(auth) == ["signed-up", *["refreshed"] * 3, "refresh-token-reused"]
    assert await details(auth, Event.REFRESHED) == [{}, {"repeated": "yes"}, {}]
    assert await details(auth, Event.REFRESH_TOKEN_REUSED) == [{"session": "ended"}]


async def test_a_refused_signup_is_no_signup(auth: AuthServer) -> None:
    await auth.sign_up()
    assert (await auth.sign_up()).status == 409
    assert await details(auth, Event.SIGNED_UP) == [{"roles": "user"}]
