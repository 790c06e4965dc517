"""Sockets end with their sessions. The clock is the test's; the store of expiries is real where it can be."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from services.ws_gateway.domain.chat import Who
from services.ws_gateway.service import sessions as module
from services.ws_gateway.service.sessions import OUT_OF_TOUCH_SECONDS, SESSION_ENDED, Sessions, keys_of
from shared.auth.revocation_list import Kind, Revocation
from shared.auth.tickets import Ticket, TicketStore
from shared.config import Secret
from shared.errors import Unavailable
from shared.tasks import background
from shared.websocket.connection import NO_LIMIT, SocketLimits, WebSocket
from shared.websocket.hub import Hub
from tests.engines import Engines
from tests.services.ws_gateway.fakes import who
from tests.waiting import eventually

NOW = 2_000_000_000.0  # Unix seconds, later than the real clock says
MINUTE_MS = 60_000


class Guest:
    """Somebody whose socket would be closed."""

    def __init__(self, whom: Who, session_expires_ms: float = math.inf) -> None:
        self.who = whom
        self.session_expires_ms = session_expires_ms
        self.socket = WebSocket(SocketLimits(frames=NO_LIMIT), None)
        self.closed: list[tuple[int, str]] = []
        self.has_left = False

    def close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def leave(self) -> None:
        self.has_left = True


class Expiries:
    """When sessions end, by session; may be away."""

    def __init__(self) -> None:
        self.at_ms: dict[str, int] = {}
        self.is_away = False
        self.calls = 0

    async def session_expires_ms(self, session_id: str) -> int | None:
        self.calls += 1
        if self.is_away:
            raise Unavailable("The ticket store does not answer.")
        return self.at_ms.get(session_id)


class Watch:
    """Sessions at work, with a clock and an age of the mirror that the test sets."""

    def __init__(self) -> None:
        self.hub: Hub[Guest] = Hub()
        self.expiries = Expiries()
        self.now = NOW
        self.age = 0.0
        self.looks = 0
        self.sessions = Sessions(self.hub, self.expiries, lambda: self.now)  # type: ignore[arg-type]

    def admit(self, name: str, issued_at_ms: int = 0, session_expires_ms: float = math.inf) -> Guest:
        guest = Guest(who(name, issued_at_ms), session_expires_ms)
        self.hub.add(guest, keys_of(guest.who))
        return guest

    def look(self) -> float:
        self.looks += 1
        return self.age

    async def two_looks(self) -> None:
        """Whatever was to be noticed has been."""
        seen = self.looks
        await eventually(lambda: self.looks >= seen + 2)


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    return Watch()


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    async with background(watch.sessions.run(watch.look), "sessions"):
        yield


# Revocations


@pytest.mark.parametrize(
    "revocation",
    [
        Revocation(Kind.SESSION, "session of ada", 5),
        Revocation(Kind.TOKEN, "token of ada", 5),
        Revocation(Kind.USER, "ada", 5),
    ],
    ids=lambda revocation: revocation.kind,
)
def test_a_revocation_closes_the_sockets_that_it_names(watch: Watch, revocation: Revocation) -> None:
    ada, again, bob = watch.admit("ada", 5), watch.admit("ada", 4), watch.admit("bob", 5)
    watch.sessions.revoked(revocation)
    for guest in (ada, again):
        assert guest.closed == [(SESSION_ENDED, "the session has ended")]
    assert bob.closed == []


def test_a_users_cut_off_spares_who_was_admitted_later(watch: Watch) -> None:
    before, at, after = (watch.admit("ada", moment) for moment in (999, 1000, 1001))
    watch.sessions.revoked(Revocation(Kind.USER, "ada", 1000))
    assert [bool(guest.closed) for guest in (before, at, after)] == [True, True, False]


@pytest.mark.parametrize(
    "revocation",
    [
        Revocation(Kind.SESSION, "ada", 5),
        Revocation(Kind.USER, "session of ada", 5),
        Revocation(Kind.TOKEN, "session of ada", 5),
    ],
    ids=lambda revocation: revocation.kind,
)
def test_a_name_counts_for_its_own_kind_only(watch: Watch, revocation: Revocation) -> None:
    ada = watch.admit("ada")
    watch.sessions.revoked(revocation)
    assert ada.closed == []


def test_a_leaked_signing_key_sends_everybody_for_a_new_ticket(watch: Watch) -> None:
    ada, bob = watch.admit("ada"), watch.admit("bob")
    watch.sessions.revoked(Revocation(Kind.KEY, "k", 5))
    assert (ada.has_left, bob.has_left, ada.closed) == (True, True, [])


def test_who_has_gone_is_not_closed(watch: Watch) -> None:
    ada = watch.admit("ada")
    watch.hub.remove(ada)
    watch.sessions.revoked(Revocation(Kind.USER, "ada", 5))
    assert ada.closed == []


# The end that comes by itself


async def test_a_session_that_nobody_has_used_ends_its_sockets(watch: Watch) -> None:
    ada, bob = (
        watch.admit("ada", 0, NOW * 1000 + MINUTE_MS),
        watch.admit("bob", 0, NOW * 1000 + 2 * MINUTE_MS),
    )
    watch.expiries.at_ms["session of ada"] = int(NOW * 1000) + MINUTE_MS
    async with watching(watch):
        await watch.two_looks()
        assert (ada.closed, watch.expiries.calls) == ([], 0)  # nobody is asked before it is time
        watch.now += 60
        await eventually(lambda: ada.closed)
    assert ada.closed[0] == (SESSION_ENDED, "the session has expired")
    assert bob.closed == []


async def test_a_session_that_was_used_lives_on_and_so_do_its_sockets(watch: Watch) -> None:
    later_ms = int(NOW * 1000) + 10 * MINUTE_MS
    ada = watch.admit("ada", 0, NOW * 1000 - 1)
    watch.expiries.at_ms["session of ada"] = later_ms
    async with watching(watch):
        await eventually(lambda: ada.session_expires_ms == later_ms)
        await watch.two_looks()
        assert watch.expiries.calls == 1
        watch.now += 600
        await eventually(lambda: ada.closed)


async def test_who_is_not_known_of_in_the_store_any_more_has_expired(watch: Watch) -> None:
    ada = watch.admit("ada", 0, NOW * 1000)
    async with watching(watch):
        await eventually(lambda: ada.closed)


async def test_while_the_store_is_away_sockets_stay_and_it_is_asked_once_a_look(watch: Watch) -> None:
    """Each question may take as long as the store's patience, and there may be thousands of guests."""
    guests = [watch.admit(f"user-{number}", 0, NOW * 1000) for number in range(20)]
    watch.expiries.is_away = True
    async with watching(watch):
        await watch.two_looks()
        assert watch.expiries.calls <= watch.looks
        assert not any(guest.closed for guest in guests)
        watch.expiries.is_away = False
        await eventually(lambda: all(guest.closed for guest in guests))


# Out of touch


async def test_after_too_long_without_news_everybody_is_sent_for_a_new_ticket(watch: Watch) -> None:
    ada = watch.admit("ada")
    async with watching(watch):
        watch.age = OUT_OF_TOUCH_SECONDS
        await watch.two_looks()
        watch.age = OUT_OF_TOUCH_SECONDS + 0.1
        await watch.two_looks()
        assert not ada.has_left  # while nobody knows, sockets stay
        watch.age = 0.2
        await eventually(lambda: ada.has_left)
        late = watch.admit("late")
        await watch.two_looks()
    assert ada.closed == []
    assert not late.has_left


async def test_before_the_first_news_nobody_was_here(watch: Watch) -> None:
    watch.age = math.inf
    async with watching(watch):
        await watch.two_looks()
        watch.age, ada = 0.1, watch.admit("ada")
        await watch.two_looks()
    assert not ada.has_left


# With the store


@pytest.fixture
def store_url(engines: Engines) -> Secret:
    return engines.redis_url


async def test_a_refresh_moves_the_end_of_the_sockets(
    store_url: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.005)
    ends_ms, session_id = int(NOW * 1000), str(uuid4())
    clock = {"now": NOW - 1}
    hub: Hub[Guest] = Hub()
    guest = Guest(Who("u", "U", session_id, "t", frozenset(), 0), ends_ms)
    hub.add(guest, keys_of(guest.who))
    async with TicketStore(store_url) as tickets:
        await tickets.issue(Ticket("u", "U", session_id, "t", frozenset(), 0, ends_ms), 30)
        await tickets.prolong_session(session_id, ends_ms + MINUTE_MS)
        watched = Sessions(hub, tickets, lambda: clock["now"])  # type: ignore[arg-type]
        async with background(watched.run(lambda: 0.0), "sessions"):
            clock["now"] = NOW
            await eventually(lambda: guest.session_expires_ms == ends_ms + MINUTE_MS)
            assert guest.closed == []
            clock["now"] = NOW + 60
            await eventually(lambda: guest.closed)
