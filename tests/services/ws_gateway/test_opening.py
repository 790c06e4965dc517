"""GET /ws over real sockets, a real store, and a mirror of it that is kept as the gateway keeps it."""

import asyncio
import io
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import ConnectionError

from services.ws_gateway.handler.opening import Opening
from services.ws_gateway.handler.visitors import Visitor
from services.ws_gateway.service.sessions import SESSION_ENDED, Sessions
from services.ws_gateway.settings import SocketSettings
from shared.auth.jwt import Claims
from shared.auth.revocation_list import Kind, Revocation
from shared.auth.revocation_mirror import RevocationMirror
from shared.auth.revocation_store import RevocationStore
from shared.auth.tickets import Ticket, TicketStore
from shared.config import Environment, Secret
from shared.http.chain import chain
from shared.http.routing import Route, Router
from shared.http.server import serve
from shared.middleware import access_log as access_log_module
from shared.middleware.access_log import access_log
from shared.middleware.errors import errors
from shared.middleware.request_id import request_id
from shared.observability import metrics
from shared.observability.logs import Lines
from shared.websocket.hub import Hub
from tests.services.ws_gateway.fakes import House
from tests.services.ws_gateway.talker import Talker, asking, knocking
from tests.shared.auth.sample_claims import claims
from tests.shared.auth.valkey import Valkey
from tests.shared.websocket.peer import handshake_head
from tests.waiting import eventually

ISSUED_MS = time.time_ns() // 1_000_000
A_DAY_MS = 86_400_000


class LateTickets(TicketStore):
    """Between taking a ticket and what comes then, `meanwhile` happens."""

    async def meanwhile(self) -> None:
        """Nothing, unless a test says otherwise."""

    async def redeem(self, text: str) -> Ticket | None:
        ticket = await super().redeem(text)
        await self.meanwhile()
        return ticket


class Gateway:
    """One gateway's door. `port` is where it is."""

    def __init__(self, url: Secret, **settings: str) -> None:
        self.hub: Hub[Visitor] = Hub()
        self.tickets = LateTickets(url)
        self.sessions = Sessions(self.hub, self.tickets)
        self.mirror = RevocationMirror(url, on_revoked=self.sessions.revoked)
        read = SocketSettings.read(Environment(settings))
        self.opening = Opening(read, self.tickets, self.mirror, self.hub, House().rooms)
        self.port = 0

    async def ticket(self, user: str = "ada", seconds: int = 30) -> str:
        ends_ms = ISSUED_MS + A_DAY_MS
        ticket = Ticket(user, user.title(), f"s-{user}", f"t-{user}", frozenset(), ISSUED_MS, ends_ms)
        return await self.tickets.issue(ticket, seconds)

    async def is_unused(self, ticket: str) -> bool:
        return await TicketStore.redeem(self.tickets, ticket) is not None

    def knocking(self, ticket: str, *fields: tuple[str, str]) -> Any:
        return knocking(self.port, f"/ws?ticket={ticket}", *fields)


@asynccontextmanager
async def running(url: Secret, *, is_fresh: bool = True, **settings: str) -> AsyncIterator[Gateway]:
    gateway = Gateway(url, **settings)
    router = Router([Route("GET", "/ws", gateway.opening.open)])
    handler = chain(router, request_id(), access_log("ws_gateway"), errors())
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gateway.tickets)
        await stack.enter_async_context(gateway.mirror)
        if is_fresh:
            await eventually(gateway.mirror.is_fresh)
        server = await stack.enter_async_context(serve(handler, "127.0.0.1", 0, drain_seconds=1.0))
        gateway.port = server.port
        yield gateway


@pytest.fixture(scope="module")
def lasting_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("valkey"), durable=False)
    server.start()
    yield server
    server.close()


@pytest.fixture
def valkey(lasting_valkey: Valkey) -> Iterator[Valkey]:
    """It is empty, and may be killed."""
    lasting_valkey.client.flushall()
    yield lasting_valkey
    try:
        lasting_valkey.client.ping()
    except ConnectionError:
        lasting_valkey.start()


@pytest.fixture
async def revocations(valkey: Valkey) -> AsyncIterator[RevocationStore]:
    async def nothing() -> Sequence[Revocation]:
        return []

    async with RevocationStore(valkey.url) as store:
        await store.restore(nothing)
        yield store


@pytest.fixture
async def gateway(valkey: Valkey, revocations: RevocationStore) -> AsyncIterator[Gateway]:
    async with running(valkey.url) as opened:
        yield opened


def refused(code: str) -> float:
    return float(metrics.WS_REFUSED.labels(code)._value.get())


@asynccontextmanager
async def refusing(code: str) -> AsyncIterator[None]:
    """One socket is refused for that reason in the block."""
    before = refused(code)
    yield
    assert refused(code) == before + 1


def revocation(kind: Kind, name: str, at_ms: int = ISSUED_MS) -> Revocation:
    return Revocation(kind, name, at_ms, ISSUED_MS + A_DAY_MS)


# Whoever has a ticket


async def test_a_ticket_opens_one_socket(gateway: Gateway) -> None:
    ticket = await gateway.ticket()
    async with gateway.knocking(ticket) as ada:
        assert ada.status == 101
        (visitor,) = gateway.hub
        who = visitor.who
        assert (who.user_id, who.display_name, who.session_id) == ("ada", "Ada", "s-ada")
        assert (who.token_id, who.issued_at_ms) == ("t-ada", ISSUED_MS)
        await ada.say_goodbye()
    assert len(gateway.hub) == 0
    async with refusing("ticket-refused"), gateway.knocking(ticket) as thief:
        assert (thief.status, thief.code) == (401, "ticket-refused")
        assert thief.headers.get("www-authenticate")


async def test_of_many_who_use_one_ticket_at_once_one_gets_in(gateway: Gateway) -> None:
    ticket = await gateway.ticket()

    async def knock() -> int:
        async with gateway.knocking(ticket) as someone:
            return int(someone.status)

    assert sorted(await asyncio.gather(*[knock() for _ in range(10)])) == [101, *[401] * 9]


@pytest.mark.parametrize(
    "query", ["", "?ticket=", "?ticket=x", f"?ticket={'A' * 43}", "?ticket=%00%ff", "?Ticket=" + "A" * 43]
)
async def test_without_a_good_ticket_nobody_gets_in(gateway: Gateway, query: str) -> None:
    async with refusing("ticket-refused"), knocking(gateway.port, f"/ws{query}") as stranger:
        assert (stranger.status, stranger.code) == (401, "ticket-refused")


async def test_a_ticket_among_others_is_none(gateway: Gateway) -> None:
    ticket = await gateway.ticket()
    async with gateway.knocking(f"{ticket}&ticket={ticket}") as someone:
        assert someone.status == 401
    assert await gateway.is_unused(ticket)


async def test_an_expired_ticket_is_refused(gateway: Gateway, valkey: Valkey) -> None:
    ticket = await gateway.ticket()
    (key,) = valkey.client.keys("ticket:*")
    valkey.client.pexpire(key, 1)
    await eventually(lambda: not valkey.client.exists(key))
    async with refusing("ticket-refused"), gateway.knocking(ticket) as late:
        assert late.status == 401


# Refusals that leave the ticket as it is


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (("Sec-WebSocket-Key: ", "Sec-WebSocket-Key: x"), 400, "bad-request"),
        (("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 8"), 426, "upgrade-required"),
        (("Upgrade: websocket", "Upgrade: h2c"), 426, "upgrade-required"),
        (("Connection: Upgrade", "Connection: keep-alive"), 400, "bad-request"),
    ],
)
async def test_a_bad_handshake_does_not_use_the_ticket_up(
    gateway: Gateway, fault: tuple[str, str], status: int, code: str
) -> None:
    ticket = await gateway.ticket()
    head = handshake_head(path=f"/ws?ticket={ticket}").decode().replace(*fault).encode()
    async with refusing(code), asking(gateway.port, head) as someone:
        assert (someone.status, someone.code) == (status, code)
        assert status != 426 or someone.headers.get("sec-websocket-version") == "13"
    assert await gateway.is_unused(ticket)


async def test_a_foreign_page_does_not_use_the_ticket_up(gateway: Gateway) -> None:
    ticket = await gateway.ticket()
    async with (
        refusing("foreign-origin"),
        gateway.knocking(ticket, ("Origin", "https://evil.example")) as page,
    ):
        assert (page.status, page.code) == (403, "foreign-origin")
    async with gateway.knocking(ticket, ("Origin", "http://127.0.0.1:8000")) as our_page:
        assert our_page.status == 101


async def test_a_full_house_does_not_use_the_ticket_up(valkey: Valkey, revocations: RevocationStore) -> None:
    async with running(valkey.url, WS_CONNECTIONS="1") as gateway:
        async with gateway.knocking(await gateway.ticket()) as ada:
            ticket = await gateway.ticket("bob")
            async with refusing("too-many-connections"), gateway.knocking(ticket) as bob:
                assert (bob.status, bob.code) == (503, "too-many-connections")
                assert bob.headers.get("retry-after") == "2"
            await ada.say_goodbye()
        async with gateway.knocking(ticket) as bob:
            assert bob.status == 101


async def test_while_revocations_are_not_known_nobody_gets_in_and_no_ticket_is_used_up(
    valkey: Valkey,
) -> None:
    async with running(valkey.url, is_fresh=False) as gateway:
        ticket = await gateway.ticket()
        await eventually(lambda: gateway.mirror._trouble.reason.endswith("filled again yet"))
        async with refusing("unavailable"), gateway.knocking(ticket) as someone:
            assert (someone.status, someone.code) == (503, "unavailable")
            assert someone.headers.get("retry-after") == "2"
        assert await gateway.is_unused(ticket)


# Others


async def test_a_user_may_have_so_many_sockets(valkey: Valkey, revocations: RevocationStore) -> None:
    async with running(valkey.url, WS_CONNECTIONS_PER_USER="2") as gateway, AsyncExitStack() as stack:
        first: Talker
        first, _ = [
            await stack.enter_async_context(gateway.knocking(await gateway.ticket())) for _ in range(2)
        ]
        async with refusing("too-many-connections"), gateway.knocking(await gateway.ticket()) as third:
            assert (third.status, third.code) == (429, "too-many-connections")
        async with gateway.knocking(await gateway.ticket("bob")) as bob:
            assert bob.status == 101
        await first.say_goodbye()
        async with gateway.knocking(await gateway.ticket()) as third:
            assert third.status == 101


async def test_without_the_store_nobody_gets_in(gateway: Gateway, valkey: Valkey) -> None:
    ticket = await gateway.ticket()
    valkey.kill()
    async with refusing("unavailable"), gateway.knocking(ticket) as someone:
        assert (someone.status, someone.code) == (503, "unavailable")
        assert someone.headers.get("retry-after")


# Sessions that end around the opening


ENDINGS = [
    (revocation(Kind.SESSION, "s-ada"), claims(session_id="s-ada")),
    (revocation(Kind.TOKEN, "t-ada"), claims(token_id="t-ada")),
    (revocation(Kind.USER, "ada"), claims(subject="ada")),
]
each_ending = pytest.mark.parametrize(("ending", "named"), ENDINGS, ids=["session", "token", "user"])


def knows(gateway: Gateway, named: Claims) -> Callable[[], bool]:
    return lambda: gateway.mirror.refuses(named)


@each_ending
async def test_a_logout_before_the_ticket_is_used(
    gateway: Gateway, revocations: RevocationStore, ending: Revocation, named: Claims
) -> None:
    ticket = await gateway.ticket()
    await revocations.write([ending])
    await eventually(knows(gateway, named))
    async with refusing("session-ended"), gateway.knocking(ticket) as ada:
        assert (ada.status, ada.code) == (401, "session-ended")
    assert len(gateway.hub) == 0
    async with gateway.knocking(await gateway.ticket("bob")) as bob:
        assert bob.status == 101


async def test_a_logout_in_the_instant_in_which_the_ticket_is_used(
    gateway: Gateway, revocations: RevocationStore
) -> None:
    ending, named = ENDINGS[0]

    async def logout() -> None:
        await revocations.write([ending])
        await eventually(knows(gateway, named))

    meanwhile: Callable[[], Awaitable[None]] = logout
    gateway.tickets.meanwhile = meanwhile  # type: ignore[method-assign, assignment]
    async with refusing("session-ended"), gateway.knocking(await gateway.ticket()) as ada:
        assert ada.status == 401


@each_ending
async def test_a_logout_closes_the_open_socket(
    gateway: Gateway, revocations: RevocationStore, ending: Revocation, named: Claims
) -> None:
    async with gateway.knocking(await gateway.ticket()) as ada, gateway.knocking(await gateway.ticket("bob")):
        await revocations.write([ending])
        assert await ada.hear_the_end() == (SESSION_ENDED, "the session has ended")
        assert [visitor.who.user_id for visitor in gateway.hub] == ["bob"]


async def test_who_logs_in_again_after_a_lock_gets_in(gateway: Gateway, revocations: RevocationStore) -> None:
    await revocations.write([revocation(Kind.USER, "ada", ISSUED_MS - 1)])
    await eventually(knows(gateway, claims(subject="ada")))
    async with gateway.knocking(await gateway.ticket()) as ada:
        assert ada.status == 101


# What is written down


async def test_no_ticket_is_written_into_any_log(
    gateway: Gateway, valkey: Valkey, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    output = io.StringIO()
    lines = Lines(output)
    monkeypatch.setattr(access_log_module, "lines", lines)
    tickets = [await gateway.ticket() for _ in range(4)]
    used, foreign, bad, lost = tickets
    for ticket, fields in ((used, ()), (used, ()), (foreign, [("Origin", "null")]), (bad, [("Host", "b")])):
        async with gateway.knocking(ticket, *fields):
            pass
    valkey.kill()
    async with gateway.knocking(lost) as ada:
        assert lost not in str(ada.problem)
    lines.flush()
    written = output.getvalue()
    assert '"status":101' in written
    assert '"status":401' in written
    everything = written + str([vars(record) for record in caplog.records])
    assert "ticket store fails" in everything
    assert not any(ticket in everything for ticket in tickets)
