"""Tickets for WebSockets, as a client sees them and as a WebSocket gateway finds them."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from prometheus_client import REGISTRY

from services.auth.domain.sessions import Session
from services.auth.domain.tickets import TicketCount, TicketHolder, Tickets
from services.auth.service.tickets import TicketService
from services.auth.settings import AuthSettings
from services.auth.unix_time import milliseconds
from shared import base64url
from shared.auth.tickets import TicketStore
from shared.config import ConfigError, Environment, Secret
from shared.context import Principal
from shared.ids import new_id
from tests.engines import Engines
from tests.services.auth.conftest import NOBODY, Answer, AuthServer, auth_server, encryption_key_text, problem
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

ALICE = "alice@example.com"
WAITING_FOR_A_ROW = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"""


@pytest.fixture
async def gateway(engines: Engines) -> AsyncIterator[TicketStore]:
    """A WebSocket gateway's way to the store."""
    async with TicketStore(engines.redis_url) as store:
        yield store


async def logged_in(auth: AuthServer, email: str = ALICE) -> tuple[Principal, Answer]:
    """Somebody new, and the answer to their login."""
    await auth.sign_up(email)
    answer = await auth.log_in(email)
    return auth.claims(answer).principal, answer


async def ask(auth: AuthServer, principal: Principal, body: object = None) -> Answer:
    return await auth.call("POST", "/ws/tickets", body, principal)


async def test_a_ticket_and_where_to_use_it(auth: AuthServer) -> None:
    alice, _ = await logged_in(auth)
    before = REGISTRY.get_sample_value("ws_tickets_issued_total") or 0
    for body in (b"", b"{}"):
        answer = await ask(auth, alice, body)
        assert (answer.status, answer.headers.get("cache-control")) == (201, "no-store")
        ticket = answer.document["ticket"]
        assert len(base64url.decode(ticket)) == 32
        url = f"ws://127.0.0.1:8001/ws?ticket={ticket}"
        assert answer.document == {"ticket": ticket, "expires_in": 30, "url": url}
    assert REGISTRY.get_sample_value("ws_tickets_issued_total") == before + 2


async def test_what_is_no_empty_object_is_refused(auth: AuthServer) -> None:
    alice, _ = await logged_in(auth)
    assert (await ask(auth, alice, {"room": "1"})).status == 422
    assert (await ask(auth, alice, b"{")).status == 400


async def test_what_a_gateway_learns_is_what_the_database_says(
    auth: AuthServer, gateway: TicketStore
) -> None:
    alice, _ = await logged_in(auth)
    await auth.execute("UPDATE users SET display_name = 'Alice II', roles = '{user,editor}'")
    before = time.time_ns() // 1_000_000
    ticket = await gateway.redeem((await ask(auth, alice)).document["ticket"])
    assert ticket is not None
    assert (ticket.user_id, ticket.session_id, ticket.token_id) == (
        alice.user_id,
        alice.session_id,
        alice.token_id,
    )
    assert (ticket.display_name, sorted(ticket.roles)) == ("Alice II", ["editor", "user"])
    assert ticket.session_expires_ms == await expires_ms(auth, alice)
    assert abs(ticket.issued_at_ms - before) < 5_000


async def test_nobody_gets_no_ticket(auth: AuthServer) -> None:
    assert (await ask(auth, NOBODY)).status == 401
    gone = Principal(user_id=str(new_id()), session_id=str(new_id()))
    assert (await ask(auth, gone)).status == 401


async def test_a_session_that_has_ended_gets_no_ticket_although_its_token_still_passes(
    auth: AuthServer,
) -> None:
    """The gateway may not have heard of it yet: here it is asked as if it had not."""
    alice, _ = await logged_in(auth)
    assert (await ask(auth, alice)).status == 201
    expired, locked = [auth.claims(await auth.log_in()).principal for _ in range(2)]
    await auth.log_out(alice)
    await auth.execute(f"UPDATE sessions SET expires_at = now() WHERE session_id = '{expired.session_id}'")
    for ended in (alice, expired):
        answer = await ask(auth, ended)
        assert (answer.status, problem(answer)) == (401, "invalid-token")
    assert (await ask(auth, locked)).status == 201
    await auth.execute("UPDATE users SET locked_at = now()")
    assert (await ask(auth, locked)).status == 401


async def test_nobody_gets_a_ticket_for_the_session_of_somebody_else(auth: AuthServer) -> None:
    alice, _ = await logged_in(auth)
    eve, _ = await logged_in(auth, "eve@example.com")
    assert (await ask(auth, replace(eve, session_id=alice.session_id))).status == 401


@pytest.mark.races
async def test_a_ticket_has_the_roles_of_after_a_change_or_is_revoked_by_it(
    auth: AuthServer, gateway: TicketStore
) -> None:
    """Asked for while the operator is in the middle of a change, it waits."""
    alice, _ = await logged_in(auth)
    accounts = auth.services.stored.accounts
    user = await auth.services.administration.account(ALICE)
    async with accounts.administration():
        await accounts.hold_user_alone(user.user_id)
        asking = asyncio.create_task(ask(auth, alice))
        await eventually(lambda: is_waiting(auth))
        await accounts.set_roles(user.user_id, ["guest"])
    ticket = await gateway.redeem((await asking).document["ticket"])
    ((revoked_at,),) = await auth.query("SELECT revoked_at FROM revocations")
    assert ticket is not None
    assert ticket.roles == {"guest"}
    assert ticket.issued_at_ms >= milliseconds(revoked_at)


async def is_waiting(auth: AuthServer) -> bool:
    """Asked outside of the caller's transaction, in which the answer would stay the same."""
    return bool((await asyncio.create_task(auth.query(WAITING_FOR_A_ROW)))[0][0])


@pytest.mark.races
async def test_nobody_gets_more_than_allowed_however_many_they_ask_for_at_once(
    engines: Engines, database_url: Secret
) -> None:
    allowed = {"WS_TICKETS_PER_MINUTE": "3"}
    async with (
        auth_server(database_url, engines.redis_url, **allowed) as one,
        auth_server(database_url, engines.redis_url, **allowed) as other,
    ):
        alice, _ = await logged_in(one)
        answers = await asyncio.gather(*(ask(each, alice) for _ in range(10) for each in (one, other)))
        assert Counter(answer.status for answer in answers) == {201: 3, 429: 17}
        refused = [answer for answer in answers if answer.status == 429]
        assert {problem(answer) for answer in refused} == {"too-many-requests"}
        assert all(50 < int(answer.headers.get("retry-after") or 0) <= 60 for answer in refused)
        bob, _ = await logged_in(one, "bob@example.com")
        assert (await ask(one, bob)).status == 201


async def test_neither_ticket_nor_token_is_kept_or_logged(
    auth: AuthServer, engines: Engines, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    alice, login = await logged_in(auth)
    ticket = (await ask(auth, alice)).document["ticket"]
    records = str([vars(record) for record in caplog.records])
    assert ticket not in records + str(await auth.query("SELECT * FROM audit"))
    assert login.document["access_token"] not in records
    assert await auth.query("SELECT count(*) FROM audit WHERE event LIKE '%ticket%'") == [(0,)]


# While a session is used


async def test_a_refresh_moves_the_end_of_the_sockets(auth: AuthServer, gateway: TicketStore) -> None:
    alice, login = await logged_in(auth)
    silent, other_login = await logged_in(auth, "bob@example.com")
    ticket = await gateway.redeem((await ask(auth, alice)).document["ticket"])
    for tokens in (login, other_login):
        assert (await auth.refresh(tokens.document["refresh_token"])).status == 200
    assert ticket is not None
    assert ticket.session_expires_ms < await expires_ms(auth, alice)
    assert await gateway.session_expires_ms(alice.session_id) == await expires_ms(auth, alice)
    assert await gateway.session_expires_ms(silent.session_id) is None


@dataclass(frozen=True)
class InterruptedTickets:
    """Something happens at the worst moment: a ticket is about to be stored."""

    tickets: Tickets
    interruption: Callable[[], Awaitable[None]]

    async def count(self, user_id: UUID) -> TicketCount:
        return await self.tickets.count(user_id)

    async def issue(self, holder: TicketHolder) -> str:
        await self.interruption()
        return await self.tickets.issue(holder)

    async def prolong(self, session: Session) -> None:
        await self.tickets.prolong(session)


@pytest.mark.races
async def test_a_refresh_beside_a_first_ticket_is_not_missed(auth: AuthServer, gateway: TicketStore) -> None:
    """It would tell of the later end before the store knows of a ticket, and the ticket names the old end."""
    alice, login = await logged_in(auth)
    refreshing = []

    async def refresh() -> None:
        refreshing.append(asyncio.create_task(auth.refresh(login.document["refresh_token"])))
        await eventually(lambda: refreshing[0].done() or is_waiting(auth))

    tickets = InterruptedTickets(auth.services.ground.tickets, refresh)
    service = TicketService(auth.services.stored.sessions, tickets, per_minute=60)
    await service.issue(UUID(alice.user_id), UUID(alice.session_id), alice.token_id)
    assert (await refreshing[0]).status == 200
    assert await gateway.session_expires_ms(alice.session_id) == await expires_ms(auth, alice)


async def expires_ms(auth: AuthServer, principal: Principal) -> int:
    """When the database says that the session ends."""
    ((expires_at,),) = await auth.query(
        f"SELECT expires_at FROM sessions WHERE session_id = '{principal.session_id}'"
    )
    return milliseconds(expires_at)


async def test_without_the_store_there_are_no_tickets_and_refreshes_all_the_same(
    valkey: Valkey, database_url: Secret
) -> None:
    async with auth_server(database_url, valkey.url) as auth:
        alice, login = await logged_in(auth)
        valkey.kill()
        answer = await ask(auth, alice)
        assert (answer.status, problem(answer)) == (503, "unavailable")
        assert answer.headers.get("retry-after")
        assert (await auth.refresh(login.document["refresh_token"])).status == 200
        valkey.start()
        assert (await ask(auth, alice)).status == 201


# Settings


def settings(**values: str) -> AuthSettings:
    required = {"REDIS_URL": "redis://localhost", "AUTH_KEY_ENCRYPTION_KEY": encryption_key_text()}
    return AuthSettings.read(Environment({**required, **values}))


def test_where_tickets_are_used_follows_the_ports_unless_told_otherwise() -> None:
    assert settings(PORT_BASE="9000").ws_url == "ws://127.0.0.1:9001/ws"
    assert settings(PUBLIC_WS_URL="wss://shop.example/ws").ws_url == "wss://shop.example/ws"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("PUBLIC_WS_URL", "https://shop.example/ws"),
        ("PUBLIC_WS_URL", "wss://shop.example/ws?a=b"),
        ("PUBLIC_WS_URL", "ws://shop.example:8001"),
        ("WS_TICKETS_PER_MINUTE", "0"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        settings(**{key: value})
