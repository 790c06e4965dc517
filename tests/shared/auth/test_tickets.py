"""Tickets in a real store, which is also killed and wiped."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared import base64url
from shared.auth.tickets import Ticket, TicketStore
from shared.errors import Unavailable
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

AT_ONCE = 20
UNKNOWN = base64url.encode(bytes(32))
TOMORROW_MS = (int(time.time()) + 86_400) * 1000
TICKET = Ticket(
    user_id="u",
    display_name="Adä 🚲",
    session_id="s",
    token_id="j",
    roles=frozenset({"user", "admin"}),
    issued_at_ms=1_700_000_000_123,
    session_expires_ms=TOMORROW_MS,
)


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[TicketStore]:
    async with TicketStore(valkey.url) as opened:
        yield opened


async def test_a_ticket_stands_for_what_it_was_issued_for(store: TicketStore) -> None:
    text = await store.issue(TICKET, 30)
    assert await store.redeem(text) == TICKET
    assert await store.redeem(text) is None


async def test_a_ticket_is_random_and_the_store_does_not_know_it(store: TicketStore, valkey: Valkey) -> None:
    texts = {await store.issue(TICKET, 30) for _ in range(3)}
    assert [(len(text), len(base64url.decode(text))) for text in texts] == [(43, 32)] * 3
    keys = [str(key) for key in valkey.client.scan_iter()]
    assert len([key for key in keys if key.startswith("ticket:")]) == len(texts) == 3
    kept = str([(key, valkey.client.get(key)) for key in keys])
    forms = [form for text in texts for form in (text, base64url.decode(text).hex())]
    assert not any(form in kept for form in forms)


@pytest.mark.races
async def test_of_many_who_redeem_a_ticket_one_gets_in(store: TicketStore, valkey: Valkey) -> None:
    """A thief who reads along is as quick as the owner, and asks another gateway."""
    async with TicketStore(valkey.url) as other:
        for _ in range(5):
            text = await store.issue(TICKET, 30)
            turns = (each.redeem(text) for _ in range(AT_ONCE // 2) for each in (store, other))
            assert sorted(await asyncio.gather(*turns), key=bool) == [None] * (AT_ONCE - 1) + [TICKET]


async def test_a_ticket_expires(store: TicketStore, valkey: Valkey) -> None:
    short, long = await store.issue(TICKET, 1), await store.issue(TICKET, 30)
    await eventually(lambda: len(list(valkey.client.scan_iter("ticket:*"))) == 1)
    assert await store.redeem(short) is None
    assert await store.redeem(long) == TICKET


async def test_what_no_ticket_can_be_is_refused_without_asking(store: TicketStore, valkey: Valkey) -> None:
    valkey.kill()
    for text in (
        "",
        "*",
        "é" * 43,
        UNKNOWN[:-1],
        UNKNOWN + "A",
        UNKNOWN[:-1] + "B",
        f"{UNKNOWN}=",
        "A" * 9000,
    ):
        assert await store.redeem(text) is None


async def test_a_store_that_is_away_is_unavailable_and_hears_nothing(
    store: TicketStore, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    text = await store.issue(TICKET, 30)
    valkey.kill()
    for call in (
        store.issue(TICKET, 30),
        store.redeem(text),
        store.count("u", 60),
        store.prolong_session("s", TOMORROW_MS),
        store.session_expires_ms("s"),
    ):
        with pytest.raises(Unavailable) as away:
            await call
        assert away.value.retry_after
        assert text not in repr(away.value) + repr(away.value.__cause__)
    assert [record.message for record in caplog.records] == ["ticket store fails"]  # once, not five times
    assert text not in str([vars(record) for record in caplog.records])
    valkey.start()
    assert await store.redeem(text) is None  # that store keeps nothing
    assert await store.redeem(await store.issue(TICKET, 30)) == TICKET


async def test_what_another_version_has_stored_is_no_ticket(store: TicketStore, valkey: Valkey) -> None:
    text = await store.issue(TICKET, 30)
    (key,) = valkey.client.scan_iter("ticket:*")
    valkey.client.set(key, '{"user_id":"u"}')
    assert await store.redeem(text) is None


# When sessions end


async def test_a_session_is_prolonged_only_where_somebody_asked_for_a_ticket(
    store: TicketStore, valkey: Valkey
) -> None:
    await store.prolong_session("s", TOMORROW_MS)
    assert (await store.session_expires_ms("s"), valkey.client.dbsize()) == (None, 0)
    await store.issue(TICKET, 30)
    assert await store.session_expires_ms("s") == TOMORROW_MS
    await store.prolong_session("s", TOMORROW_MS + 1)
    assert await store.session_expires_ms("s") == TOMORROW_MS + 1


async def test_whoever_writes_late_makes_no_session_end_earlier(store: TicketStore) -> None:
    await store.issue(TICKET, 30)
    await store.issue(replace(TICKET, session_expires_ms=TOMORROW_MS + 5), 30)
    await store.issue(TICKET, 30)
    await store.prolong_session("s", TOMORROW_MS)
    assert await store.session_expires_ms("s") == TOMORROW_MS + 5


async def test_what_is_known_of_a_session_leaves_with_it(store: TicketStore, valkey: Valkey) -> None:
    await store.issue(replace(TICKET, session_expires_ms=int(time.time() * 1000) + 100), 30)
    assert await store.session_expires_ms("s") is not None
    await eventually(lambda: valkey.client.dbsize() == 1)  # the ticket is left
    assert await store.session_expires_ms("s") is None


# How many somebody wants


@pytest.mark.races
async def test_many_at_once_are_each_counted(store: TicketStore, valkey: Valkey) -> None:
    async with TicketStore(valkey.url) as other:
        turns = (each.count("u", 60) for _ in range(AT_ONCE // 2) for each in (store, other))
        counts = await asyncio.gather(*turns)
    assert sorted(number for number, _ in counts) == list(range(1, AT_ONCE + 1))
    assert all(50 < seconds <= 60 for _, seconds in counts)


async def test_counting_begins_anew_and_is_for_each_user(store: TicketStore, valkey: Valkey) -> None:
    for number in (1, 2):
        assert (await store.count("u", 60))[0] == number
    (key,) = valkey.client.scan_iter("ticket-count:*")
    valkey.client.pexpire(key, 20_000)  # 40 s later
    number, seconds = await store.count("u", 60)
    assert (number, 15 < seconds <= 20) == (3, True)  # a further one does not put the end off
    assert (await store.count("other", 60))[0] == 1
    valkey.client.pexpire(key, 1)  # and the rest of the time
    await eventually(lambda: not valkey.client.exists(key))
    assert (await store.count("u", 60))[0] == 1
