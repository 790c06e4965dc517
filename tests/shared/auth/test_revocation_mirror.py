"""Store and mirror over a real Valkey that is killed, frozen, wiped and started again."""

import math
import signal
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from shared.auth.jwt import Claims
from shared.auth.revocation_list import Kind, Revocation
from shared.auth.revocation_mirror import PING_SECONDS, RevocationMirror
from shared.auth.revocation_store import MARKER, SIGNING_KEYS_CHANGED, RevocationStore
from shared.config import Secret
from shared.errors import Unavailable
from shared.runtime import NeedsOperator
from tests.shared.auth.sample_claims import claims
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

STALE_SECONDS = 3.0  # longer than a few pings take, short enough to see it pass


@pytest.fixture
async def store(valkey: Valkey) -> AsyncIterator[RevocationStore]:
    async with RevocationStore(valkey.url) as opened:
        yield opened


def mirror(valkey: Valkey) -> RevocationMirror:
    return RevocationMirror(valkey.url, stale_seconds=STALE_SECONDS)


@asynccontextmanager
async def fresh_mirror(valkey: Valkey, store: RevocationStore) -> AsyncIterator[RevocationMirror]:
    await store.restore(nothing)
    async with mirror(valkey) as opened:
        await eventually(opened.is_fresh)
        yield opened


def session(name: str, seconds: float = 600) -> Revocation:
    now_ms = time.time_ns() // 1_000_000
    return Revocation(Kind.SESSION, name, now_ms, now_ms + int(seconds * 1000))


async def nothing() -> Sequence[Revocation]:
    return []


def of_session(name: str) -> Claims:
    return claims(session_id=name)


# The store


async def test_what_is_written_has_value_and_expiry(store: RevocationStore, valkey: Valkey) -> None:
    one = session("s-1")
    await store.write([one, Revocation(Kind.USER, "u-1", 1234, one.expires_ms)])
    assert valkey.client.get("revoked:sid:s-1") == str(one.at_ms)
    assert valkey.client.get("revoked:user:u-1") == "1234"
    assert valkey.client.pexpiretime("revoked:sid:s-1") == one.expires_ms


async def test_a_later_write_never_weakens(store: RevocationStore, valkey: Valkey) -> None:
    now = time.time_ns() // 1_000_000
    await store.write([Revocation(Kind.USER, "u", 2000, now + 9000)])
    await store.write([Revocation(Kind.USER, "u", 1000, now + 5000)])
    assert valkey.client.get("revoked:user:u") == "2000"
    assert valkey.client.pexpiretime("revoked:user:u") == now + 9000


async def test_restore_writes_the_marker_last(store: RevocationStore, valkey: Valkey) -> None:
    many = [session(f"s-{number}") for number in range(1201)]

    async def read() -> Sequence[Revocation]:
        assert not await store.is_complete()
        return many

    assert await store.restore(read)
    assert await store.is_complete()
    assert valkey.client.dbsize() == len(many) + 1


async def test_a_wipe_during_a_restore_leaves_no_marker(store: RevocationStore, valkey: Valkey) -> None:
    async def read() -> Sequence[Revocation]:
        valkey.client.flushall()
        return [session("s-1")]

    assert not await store.restore(read)
    assert not await store.is_complete()
    assert valkey.client.get(MARKER) is None


async def test_a_wiped_store_is_not_complete(store: RevocationStore, valkey: Valkey) -> None:
    await store.restore(nothing)
    valkey.client.flushall()
    assert not await store.is_complete()


async def test_a_marker_from_before_a_restart_does_not_count(tmp_path: Path) -> None:
    """Valkey writes its log to disk once a second: after a crash, the last second may be missing."""
    valkey = Valkey(tmp_path, durable=True)
    try:
        valkey.start()
        async with RevocationStore(valkey.url) as store:
            await store.restore(nothing)
            valkey.client.waitaof(1, 0, 5000)
            valkey.kill()
            valkey.start()
            assert valkey.client.get(MARKER) is not None
            assert not await store.is_complete()
            assert await store.restore(nothing)
            assert await store.is_complete()
    finally:
        valkey.close()


async def test_a_store_that_is_away_is_unavailable(store: RevocationStore, valkey: Valkey) -> None:
    valkey.kill()
    with pytest.raises(Unavailable):
        await store.write([session("s")])
    with pytest.raises(Unavailable):
        await store.check()
    valkey.start()
    await store.write([session("s")])


async def test_a_store_that_hangs_is_unavailable(store: RevocationStore, valkey: Valkey) -> None:
    await store.check()
    valkey.signal(signal.SIGSTOP)
    with pytest.raises(Unavailable):
        await store.write([session("s")])
    valkey.signal(signal.SIGCONT)
    await store.write([session("s")])


def other_passwords(valkey: Valkey) -> list[Secret]:
    return [Secret(valkey.url.value.replace(":secret@", replaced)) for replaced in (":swordfish@", "")]


@pytest.mark.parametrize("which", [0, 1], ids=["wrong", "none"])
async def test_a_store_that_wants_another_password_is_not_taken_for_a_dead_one(
    valkey: Valkey, which: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with RevocationStore(other_passwords(valkey)[which]) as refused:
        for _ in range(2):
            with pytest.raises(Unavailable) as to_clients:
                await refused.write([session("s")])
        with pytest.raises(NeedsOperator, match="another password than REDIS_URL"):
            await refused.check()
    assert "password" not in to_clients.value.detail
    (record,) = (each for each in caplog.records if each.message == "revocation store fails")
    assert "another password" in vars(record)["detail"]
    assert "swordfish" not in str([vars(each) for each in caplog.records])


async def test_a_store_that_refuses_to_write_says_why(
    store: RevocationStore, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    valkey.client.config_set("maxmemory", 1)
    with pytest.raises(Unavailable):
        await store.write([session("s")])
    (record,) = (each for each in caplog.records if each.message == "revocation store fails")
    assert "refuses" in vars(record)["detail"]
    assert "maxmemory" in vars(record)["detail"]


# The mirror


async def test_it_loads_what_was_there_before(store: RevocationStore, valkey: Valkey) -> None:
    await store.write([session(f"s-{number}") for number in range(1300)])
    async with fresh_mirror(valkey, store) as opened:
        assert opened.refuses(of_session("s-0"))
        assert opened.refuses(of_session("s-1299"))
        assert not opened.refuses(of_session("s-1300"))
        assert opened.age() < STALE_SECONDS
        await opened.check()


async def test_it_hears_of_a_revocation_at_once(store: RevocationStore, valkey: Valkey) -> None:
    delays = []
    async with fresh_mirror(valkey, store) as opened:
        for number in range(50):
            token = of_session(f"s-{number}")
            assert not opened.refuses(token)
            await store.write([session(f"s-{number}")])
            acknowledged = time.perf_counter()
            await eventually(lambda token=token: opened.refuses(token))  # type: ignore[misc]
            delays.append(time.perf_counter() - acknowledged)
    assert statistics.median(delays) < 0.05


async def test_it_hears_of_any_writer(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        valkey.client.set("revoked:sid:by-hand", "1")
        valkey.client.set("revoked:jti:by-hand", "1", ex=100)
        valkey.client.set("revoked:kid:by-hand", "x")
        valkey.client.set("revoked:user:by-hand", str(10**14), ex=100)
        await eventually(lambda: opened.refuses(of_session("by-hand")))
        await eventually(lambda: opened.refuses(claims(token_id="by-hand")))
        await eventually(lambda: opened.refuses(claims(key_id="by-hand")))
        await eventually(lambda: opened.refuses(claims(subject="by-hand")))


@pytest.mark.parametrize("which", [0, 1], ids=["wrong", "none"])
async def test_a_mirror_that_is_refused_says_so(
    valkey: Valkey, which: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with RevocationMirror(other_passwords(valkey)[which]) as opened:
        await eventually(lambda: "another password than REDIS_URL" in opened._trouble.reason)
        with pytest.raises(Unavailable, match="another password"):
            await opened.check()
    assert "swordfish" not in str([vars(each) for each in caplog.records])


async def test_it_only_adds(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        await store.write([session("s-1"), session("s-2")])
        await eventually(lambda: opened.refuses(of_session("s-2")))
        valkey.client.delete("revoked:sid:s-1")
        await store.write([session("s-3")])
        await eventually(lambda: opened.refuses(of_session("s-3")))
        assert opened.refuses(of_session("s-1"))


async def test_an_entry_leaves_by_its_own_expiry(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        await store.write([session("short", seconds=3), session("long")])
        await eventually(lambda: opened.refuses(of_session("short")))
        await eventually(lambda: not opened.refuses(of_session("short")))
        assert opened.refuses(of_session("long"))


async def says(opened: RevocationMirror, reason: str) -> bool:
    """Whether it is not fresh, for that reason."""
    try:
        await opened.check()
    except Unavailable as stale:
        return reason in stale.detail
    return False


async def test_without_the_marker_a_new_mirror_is_never_fresh(store: RevocationStore, valkey: Valkey) -> None:
    async with mirror(valkey) as opened:
        await store.write([session("s-1")])
        await eventually(lambda: opened.refuses(of_session("s-1")))
        await eventually(lambda: says(opened, "filled"))
        assert not opened.is_fresh()
        await store.restore(nothing)
        await eventually(opened.is_fresh)


async def test_a_wipe_takes_nothing_from_a_loaded_mirror(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        await store.write([session("s-1")])
        await eventually(lambda: opened.refuses(of_session("s-1")))
        valkey.client.flushall()
        await eventually(lambda: not opened.is_fresh())  # no marker, no proof
        assert opened.refuses(of_session("s-1"))
        valkey.client.set("revoked:sid:s-2", "1", ex=100)
        await eventually(lambda: opened.refuses(of_session("s-2")))
        assert not opened.is_fresh()
        await store.restore(nothing)
        await eventually(opened.is_fresh)
        assert opened.refuses(of_session("s-1"))


async def test_a_wipe_that_is_soon_restored_is_not_felt(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        valkey.client.flushall()
        await store.restore(nothing)
        restored = time.monotonic()
        await eventually(lambda: opened._last_proof > restored + PING_SECONDS)  # by a ping that came after
        assert opened.is_fresh()


async def test_a_killed_store_makes_it_stale_and_a_restored_one_fresh(
    store: RevocationStore, valkey: Valkey
) -> None:
    async with fresh_mirror(valkey, store) as opened:
        await store.write([session("s-1")])
        await eventually(lambda: opened.refuses(of_session("s-1")))
        valkey.kill()
        assert opened.is_fresh()  # within its bound it may still be used
        await eventually(lambda: not opened.is_fresh())
        assert opened.refuses(of_session("s-1"))
        valkey.start()  # empty: without a marker it proves nothing
        await eventually(lambda: "filled" in opened._trouble.reason)
        assert not opened.is_fresh()
        await store.write([session("s-2")])
        assert await store.restore(nothing)
        await eventually(opened.is_fresh)
        assert opened.refuses(of_session("s-1"))
        assert opened.refuses(of_session("s-2"))


async def test_a_frozen_store_makes_it_stale_and_comes_back(store: RevocationStore, valkey: Valkey) -> None:
    async with fresh_mirror(valkey, store) as opened:
        valkey.signal(signal.SIGSTOP)
        await eventually(lambda: not opened.is_fresh())
        valkey.signal(signal.SIGCONT)
        await store.write([session("s-1")])
        await eventually(opened.is_fresh)
        await eventually(lambda: opened.refuses(of_session("s-1")))


async def test_what_happens_while_the_link_is_down_is_loaded_afterwards(
    store: RevocationStore, valkey: Valkey
) -> None:
    async with fresh_mirror(valkey, store) as opened:
        for number in range(5):
            valkey.client.client_kill_filter(_type="pubsub")
            await store.write([session(f"s-{number}")])
            await eventually(lambda number=number: opened.refuses(of_session(f"s-{number}")))  # type: ignore[misc]
        await eventually(opened.is_fresh)


# Whoever is told of each


async def test_each_revocation_is_told_of_once_also_when_all_are_loaded_again(
    store: RevocationStore, valkey: Valkey
) -> None:
    told: list[str] = []
    await store.write([session("before")])
    await store.restore(nothing)
    async with RevocationMirror(valkey.url, on_revoked=lambda each: told.append(each.name)) as opened:
        await eventually(opened.is_fresh)
        assert told == ["before"]
        await store.write([session("pushed"), session("before", seconds=900)])
        await eventually(lambda: told == ["before", "pushed"])
        valkey.client.client_kill_filter(_type="pubsub")
        await store.write([session("missed")])  # heard of, or found by the load that follows
        await eventually(lambda: "missed" in told)
        await store.restore(nothing)  # the marker has been written: everything is loaded once more
        await store.write([session("last")])
        await eventually(lambda: "last" in told)
        assert told == ["before", "pushed", "missed", "last"]


async def test_of_a_user_each_later_cut_off_is_told(store: RevocationStore, valkey: Valkey) -> None:
    now_ms = time.time_ns() // 1_000_000
    told: list[int] = []
    await store.restore(nothing)
    async with RevocationMirror(valkey.url, on_revoked=lambda each: told.append(each.at_ms)) as opened:
        await eventually(opened.is_fresh)
        for at_ms in (now_ms, now_ms - 1000, now_ms, now_ms + 1000):
            await store.write([Revocation(Kind.USER, "u", at_ms, now_ms + 600_000)])
        await eventually(lambda: told == [now_ms, now_ms + 1000])


# How long it takes, as /metrics tells


def delays_within(bound: float) -> float:
    """How many revocations took at most `bound` seconds; all of them for infinity."""
    return REGISTRY.get_sample_value("revocation_delay_seconds_bucket", {"le": _as_label(bound)}) or 0.0


def _as_label(bound: float) -> str:
    return "+Inf" if bound == math.inf else str(bound)


async def test_the_delay_of_a_revocation_is_measured_once(store: RevocationStore, valkey: Valkey) -> None:
    now_ms = time.time_ns() // 1_000_000
    old = Revocation(Kind.SESSION, "s-1", now_ms - 20_000, now_ms + 600_000)
    async with fresh_mirror(valkey, store) as opened:
        all_before, quick_before = delays_within(math.inf), delays_within(10.0)
        await store.write([old])
        await store.write([old])
        await store.write([session("s-2")])  # heard of after the others
        await eventually(lambda: opened.refuses(of_session("s-2")))
        assert delays_within(math.inf) == all_before + 2
        assert delays_within(10.0) == quick_before + 1


async def test_a_later_cut_off_of_a_user_is_measured_too(store: RevocationStore, valkey: Valkey) -> None:
    now_ms = time.time_ns() // 1_000_000
    async with fresh_mirror(valkey, store) as opened:
        before = delays_within(math.inf)
        for at_ms in (now_ms - 2000, now_ms - 1000):
            await store.write([Revocation(Kind.USER, "u", at_ms, now_ms + 600_000)])
            token = claims(subject="u", issued_at=at_ms / 1000)
            await eventually(lambda token=token: opened.refuses(token))  # type: ignore[misc]
        assert delays_within(math.inf) == before + 2


async def test_a_database_clock_that_is_ahead_counts_as_no_delay(
    store: RevocationStore, valkey: Valkey
) -> None:
    ahead_ms = time.time_ns() // 1_000_000 + 5000
    async with fresh_mirror(valkey, store) as opened:
        before = delays_within(0.001)
        await store.write([Revocation(Kind.SESSION, "s", ahead_ms, ahead_ms + 600_000)])
        await eventually(lambda: opened.refuses(of_session("s")))
        assert delays_within(0.001) == before + 1


async def test_what_was_there_before_has_no_delay(store: RevocationStore, valkey: Valkey) -> None:
    before = delays_within(math.inf)
    await store.write([session("loaded")])
    async with fresh_mirror(valkey, store) as opened:
        assert opened.refuses(of_session("loaded"))
        valkey.client.set("revoked:sid:by-hand", "no time", ex=100)
        await eventually(lambda: opened.refuses(of_session("by-hand")))
    valkey.client.flushall()
    async with mirror(valkey) as opened:  # begins before the store has been filled again
        await eventually(lambda: "filled" in opened._trouble.reason)
        await store.write([session("restored")])
        await eventually(lambda: opened.refuses(of_session("restored")))
    assert delays_within(math.inf) == before


async def test_other_keys_call_whoever_waits_for_them(store: RevocationStore, valkey: Valkey) -> None:
    calls: list[int] = []
    await store.restore(nothing)
    watching = {SIGNING_KEYS_CHANGED: lambda: calls.append(1)}
    async with RevocationMirror(valkey.url, on_change=watching) as opened:
        await eventually(opened.is_fresh)
        before = len(calls)
        await store.announce_signing_keys()
        await eventually(lambda: len(calls) > before)


async def test_a_big_store_is_loaded_and_stays_live(store: RevocationStore, valkey: Valkey) -> None:
    await store.write([session(f"s-{number}") for number in range(20_000)])
    async with fresh_mirror(valkey, store) as opened:
        assert opened.refuses(of_session("s-19999"))
        async with Redis.from_url(valkey.url.value) as other, other.pipeline(transaction=False) as pipeline:
            for number in range(2000):
                pipeline.set(f"revoked:sid:n-{number}", "1", ex=100)
            await pipeline.execute()
        await eventually(lambda: all(opened.refuses(of_session(f"n-{number}")) for number in range(2000)))


async def test_it_waits_for_a_store_that_is_not_there_yet(tmp_path: Path) -> None:
    valkey = Valkey(tmp_path, durable=False)
    try:
        async with mirror(valkey) as opened:
            assert not opened.is_fresh()
            with pytest.raises(Unavailable):
                await opened.check()
            valkey.start()
            async with RevocationStore(valkey.url) as store:
                await store.restore(nothing)
            await eventually(opened.is_fresh)
    finally:
        valkey.close()
