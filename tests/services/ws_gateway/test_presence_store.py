"""Presence over a real Valkey: several gateways, which share nothing but the store.

The intervals are a fraction of the real ones.
"""

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from redis import Redis

from services.ws_gateway import presence_store
from services.ws_gateway.domain.presence import PresenceStore, Report, Sight, Terms
from services.ws_gateway.presence_store import PREFIX, ValkeyPresenceStore
from services.ws_gateway.service.presence import ROOMS_AT_ONCE, Presence
from shared.config import Secret
from shared.errors import Unavailable
from shared.tasks import background
from tests.engines import Engines
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

GRACE_SECONDS = 0.4
RENEW_SECONDS = 0.2
LIFE_SECONDS = 1.2
PACE_SECONDS = 0.1
BOUND = 4
TERMS = Terms(LIFE_SECONDS, GRACE_SECONDS, BOUND)


@pytest.fixture
def url(engines: Engines) -> Secret:
    return engines.redis_url


@pytest.fixture
def room() -> str:
    """A room that no other test knows."""
    return str(uuid4())


@asynccontextmanager
async def stores(url: Secret) -> AsyncIterator[tuple[ValkeyPresenceStore, ValkeyPresenceStore]]:
    """Those of two gateways."""
    async with ValkeyPresenceStore(url) as one, ValkeyPresenceStore(url) as other:
        yield one, other


async def told(store: PresenceStore, room: str, here: str = "", gone: str = "") -> Sight:
    """What the store answers to one report; each letter is a user."""
    (sight,) = await store.exchange([Report(room, tuple(here), tuple(gone))], TERMS)
    return sight


def entries(url: Secret, room: str) -> dict[str, float]:
    """What the store holds of `room`: the Unix ms of expiry by entry."""
    with Redis.from_url(url.value, decode_responses=True, protocol=2) as client:
        return dict(client.zrange(f"{PREFIX}{room}", 0, -1, withscores=True))


# The store


async def test_every_gateways_users_are_seen_each_once(url: Secret, room: str) -> None:
    async with stores(url) as (one, other):
        assert await told(one, room, "ab") == Sight(frozenset("ab"), LIFE_SECONDS, added=2)
        sight = await told(other, room, "bc")
        assert (sight.users, sight.added) == (frozenset("abc"), 2)
        assert 0 < sight.seconds <= LIFE_SECONDS
        assert (await told(other, room, "bc")).added == 0


async def test_the_sights_come_in_the_order_of_the_reports(url: Secret) -> None:
    rooms = [str(uuid4()) for _ in range(50)]
    async with stores(url) as (store, _):
        reports = [Report(each, (f"user of {each}",), ()) for each in rooms]
        sights = await store.exchange(reports, TERMS)
    assert [sight.users for sight in sights] == [frozenset(report.here) for report in reports]


async def test_an_entry_expires_by_the_stores_clock_and_its_room_with_it(url: Secret, room: str) -> None:
    async with stores(url) as (store, _):
        await told(store, room, "a")
    with Redis.from_url(url.value, protocol=2) as client:
        (expires_ms,) = entries(url, room).values()
        assert 0 < expires_ms - now_ms(url) <= LIFE_SECONDS * 1000
        assert 0 < client.pttl(f"{PREFIX}{room}") <= LIFE_SECONDS * 1000


async def test_one_more_user_than_the_bound_stands_for_any_number(url: Secret, room: str) -> None:
    async with stores(url) as (one, other):
        await told(one, room, "abcd")
        assert len((await told(other, room, "cdefg")).users) == BOUND + 1


async def test_who_is_gone_stays_for_the_grace_and_never_longer(url: Secret, room: str) -> None:
    async with stores(url) as (one, other):
        await told(one, room, "a")
        first = await told(one, room, gone="a")
        assert (first.users, first.seconds) == (frozenset("a"), GRACE_SECONDS)
        before = entries(url, room)
        await told(one, room, gone="ax")
        assert entries(url, room) == before
        await eventually(lambda: now_ms(url) >= max(before.values()))
        assert (await told(other, room)).users == frozenset()


def now_ms(url: Secret) -> float:
    """The store's Unix time."""
    with Redis.from_url(url.value, protocol=2) as client:
        seconds, microseconds = client.time()
    return float(seconds * 1000 + microseconds / 1000)


async def test_who_comes_or_goes_nudges_and_who_stays_does_not(url: Secret, room: str) -> None:
    nudges: list[str] = []
    async with stores(url) as (one, other), background(other.listen(nudges.append), "nudges"):
        await eventually(lambda: _nudge_arrives(one, nudges))
        await told(one, room, "a")
        await told(one, room, "a")
        await told(one, room, gone="a")
        await told(one, room, gone="a")
        await told(one, "the end of " + room, "a")
        await eventually(lambda: "the end of " + room in nudges)
    assert nudges.count(room) == 2


async def _nudge_arrives(store: PresenceStore, nudges: list[str]) -> bool:
    await told(store, str(uuid4()), "a")
    return bool(nudges)


async def test_a_store_that_is_away_is_unavailable_and_one_that_refuses_says_why(valkey: Valkey) -> None:
    async with stores(valkey.url) as (store, _):
        valkey.client.config_set("maxmemory", 1)
        with pytest.raises(Unavailable, match="refuses") as refused:
            await told(store, "r", "a")
        assert "EVALSHA" not in refused.value.detail  # nor who is where
        valkey.kill()
        with pytest.raises(Unavailable, match="does not answer"):
            await told(store, "r", "a")
        with pytest.raises(Unavailable, match="does not answer"):
            await store.listen(print)


async def test_a_link_that_is_silent_is_given_up(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence_store, "PING_SECONDS", 0.05)
    nudges: list[str] = []
    async with stores(valkey.url) as (one, other), background(other.listen(nudges.append), "nudges") as link:
        await eventually(lambda: _nudge_arrives(one, nudges))
        await asyncio.wait([link], timeout=0.05 * (presence_store.UNANSWERED_PINGS + 2))
        assert not link.done()  # its pings are answered
        valkey.signal(signal.SIGSTOP)
        await eventually(link.done)
        valkey.signal(signal.SIGCONT)
        assert isinstance(link.exception(), Unavailable)


# Several gateways


class Gateway:
    """One process: its presence, its exchanges with the store, and what is announced in it."""

    def __init__(self, store: ValkeyPresenceStore, bound: int) -> None:
        self.exchanges: list[list[str]] = []  # the rooms of each
        self.announced: list[tuple[float, set[str], set[str]]] = []  # when, who joined, who left
        self._store = store
        self.listen = store.listen
        self.presence = Presence(
            self,
            self._announce,
            grace_seconds=GRACE_SECONDS,
            renew_seconds=RENEW_SECONDS,
            life_seconds=LIFE_SECONDS,
            pace_seconds=PACE_SECONDS,
            members_at_most=bound,
        )

    async def exchange(self, reports: Sequence[Report], terms: Terms) -> Sequence[Sight]:
        self.exchanges.append([report.room_id for report in reports])
        return await self._store.exchange(reports, terms)

    def _announce(self, _room: str, joined: Sequence[str], left: Sequence[str]) -> None:
        self.announced.append((time.monotonic(), set(joined), set(left)))

    @property
    def left(self) -> set[str]:
        """Everybody who was ever said to have left."""
        return set().union(*(left for _, _, left in self.announced))

    def enter(self, room: str, users: str) -> None:
        """Each letter is a user."""
        for user in users:
            self.presence.entered(room, user)

    def leave(self, room: str, users: str) -> None:
        for user in users:
            self.presence.left(room, user)

    def shows(self, room: str, users: str) -> Callable[[], bool]:
        return lambda: self.presence.present(room) == frozenset(users)

    async def looks(self, times: int = 2) -> None:
        """Returns after so many more exchanges: the second has begun after now."""
        enough = len(self.exchanges) + times
        await eventually(lambda: len(self.exchanges) >= enough)


@asynccontextmanager
async def gateway(url: Secret, *, bound: int = BOUND) -> AsyncIterator[Gateway]:
    """One that runs; the block's end kills it."""
    async with ValkeyPresenceStore(url) as store:
        made = Gateway(store, bound)
        async with background(made.presence.run(), "presence"):
            yield made


@asynccontextmanager
async def two_gateways(url: Secret) -> AsyncIterator[tuple[Gateway, Gateway]]:
    async with gateway(url) as one, gateway(url) as other:
        yield one, other


async def test_everybody_is_announced_everywhere_and_a_leave_after_the_grace(url: Secret, room: str) -> None:
    async with two_gateways(url) as (one, other):
        one.enter(room, "a")
        await eventually(one.shows(room, "a"))
        other.enter(room, "b")
        await eventually(one.shows(room, "ab"))
        await eventually(other.shows(room, "ab"))
        assert [joined for _, joined, _ in one.announced] == [{"a"}, {"b"}]
        other.leave(room, "b")
        gone_at = time.monotonic()
        await eventually(one.shows(room, "a"))
        at, _, left = one.announced[-1]
        assert left == {"b"}
        assert at - gone_at >= GRACE_SECONDS
        await eventually(lambda: other.presence.present(room) is None)  # without users it is forgotten


async def test_a_user_on_two_gateways_leaves_when_gone_from_both(url: Secret, room: str) -> None:
    async with two_gateways(url) as (one, other):
        one.enter(room, "ax")
        other.enter(room, "a")
        await eventually(lambda: len(entries(url, room)) == 3)
        one.leave(room, "a")
        await eventually(lambda: _is_expired(one, url, room, left=2))
        assert not one.left
        other.leave(room, "a")
        await eventually(one.shows(room, "x"))


async def _is_expired(gateway: Gateway, url: Secret, room: str, *, left: int) -> bool:
    """Whether so many entries are left, and `gateway` has seen that."""
    if len(entries(url, room)) != left:
        return False
    await gateway.looks()
    return True


async def test_who_comes_back_within_the_grace_was_never_away(url: Secret, room: str) -> None:
    async with two_gateways(url) as (one, other):
        one.enter(room, "aab")
        other.enter(room, "x")
        await eventually(other.shows(room, "abx"))
        await one.presence.depart()
        latest = now_ms(url) + GRACE_SECONDS * 1000
        assert all(ms <= latest for entry, ms in entries(url, room).items() if not entry.endswith("x"))
        assert one.presence.present(room) is None
        one.leave(room, "aab")  # as the connections close
        one.enter(room, "b")  # too late: this process reports nobody any more
        other.enter(room, "a")
        await eventually(other.shows(room, "ax"))
        assert [(joined, left) for _, joined, left in other.announced][-1] == (set(), {"b"})
        assert other.left == {"b"}
        assert len(entries(url, room)) == 2


async def test_a_killed_gateways_users_vanish(url: Secret, room: str) -> None:
    async with gateway(url) as survivor:
        survivor.enter(room, "x")
        async with gateway(url) as killed:
            killed.enter(room, "ab")
            await eventually(survivor.shows(room, "abx"))
        killed_at = time.monotonic()
        await eventually(survivor.shows(room, "x"))
        at, _, left = survivor.announced[-1]
        assert left == {"a", "b"}
        assert (
            at - killed_at >= LIFE_SECONDS - RENEW_SECONDS - PACE_SECONDS - 0.5
        )  # was not told, but expired


async def test_a_room_hears_once_in_a_pace_what_has_changed_since(url: Secret, room: str) -> None:
    async with gateway(url, bound=1000) as one:
        for number in range(300):
            one.presence.entered(room, f"u{number}")
            one.presence.entered(room, "flighty")
            one.presence.left(room, "flighty")
            await asyncio.sleep(0.001)
        await eventually(lambda: len(one.presence.present(room) or ()) >= 300)
        times = [at for at, _, _ in one.announced]
        assert (
            len(times) <= (times[-1] - times[0]) / PACE_SECONDS + 2
        )  # the first, and a look that took longer


async def test_presence_is_off_above_the_bound_and_begins_anew_below(url: Secret, room: str) -> None:
    async with two_gateways(url) as (one, other):
        one.enter(room, "abc")
        other.enter(room, "d")
        await eventually(one.shows(room, "abcd"))
        other.enter(room, "e")
        await eventually(lambda: one.presence.present(room) is other.presence.present(room) is None)
        said = len(one.announced)
        other.leave(room, "d")
        await eventually(one.shows(room, "abce"))
        assert [(joined, left) for _, joined, left in one.announced[said:]] == [(set("abce"), set())]


async def test_while_the_store_is_away_nobody_leaves_and_then_all_goes_on(
    valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with two_gateways(valkey.url) as (one, other):
        one.enter("r", "a")
        other.enter("r", "b")
        await eventually(one.shows("r", "ab"))
        await eventually(other.shows("r", "ab"))
        valkey.kill()
        one.enter("r", "c")
        await one.looks()
        await other.looks()
        valkey.start()  # knows nothing
        await eventually(one.shows("r", "abc"))
        await eventually(other.shows("r", "abc"))
        valkey.client.flushall()
        await one.looks(5)
        one.leave("r", "a")
        await eventually(other.shows("r", "bc"))
        assert one.left | other.left == {"a"}
    said = [record.message for record in caplog.records]
    assert said.count("presence is not up to date") == said.count("presence is up to date") == 2


async def test_two_thousand_users_cost_no_more_than_one(url: Secret, room: str) -> None:
    async with gateway(url) as one:
        for number in range(2000):
            one.presence.entered(room, str(number))
        await one.looks(3)
        assert len(one.exchanges) <= 4
        assert len(entries(url, room)) == BOUND + 1
        assert one.announced == []


async def test_a_room_without_users_here_costs_nothing(
    url: Secret, room: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_gateways(url) as (one, other):
        one.enter(room, "a")
        other.enter(room, "b")
        await eventually(one.shows(room, "ab"))
        other.enter("another " + room, "b")
        await eventually(other.shows("another " + room, "b"))
        other.enter(room, "c")
        await eventually(one.shows(room, "abc"))  # has heard of both
        assert {each for rooms in one.exchanges for each in rooms} == {room}
    assert not caplog.records


async def test_the_rooms_that_are_due_share_an_exchange(url: Secret) -> None:
    rooms = {str(uuid4()) for _ in range(ROOMS_AT_ONCE)}
    async with gateway(url) as one:
        for each in rooms:
            one.enter(each, "a")
        await one.looks(1)
        assert set(one.exchanges[0]) == rooms
