"""A conversation in a whole system, on two WebSocket gateways: who hears what, and who hears no more.

Whatever dies meanwhile, everybody hears everything, in order, once.
"""

import asyncio
import hashlib
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
import redis
from wsproto.events import Request

from scripts.support.websocket_client import HandshakeRefused, Socket, SocketClosed, connect
from shared.events.redis_topics import streams_of
from tests.e2e.chatter import Chatter, chattering
from tests.e2e.event_storm import database
from tests.e2e.people import CREATED, OK, Person
from tests.e2e.stage import QUEUE_BYTES, SecondGateway, Stage, staged
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, System
from tests.e2e.talkers import GOING_AWAY, SESSION_ENDED, Refused, Talker, talking
from tests.e2e.test_shop import frozen
from tests.e2e.transcripts import Line, faults, repeated, said, unkept
from tests.waiting import eventually

SECONDS = 60.0  # for what takes milliseconds where nothing is broken
AT_ONCE_SECONDS = 1.0  # what is promised of a session's end
TICKET_SECONDS = 30
TOO_SLOW = 4408
RECEIVED_BYTES = 65_536
HISTORY_POSTS, MOST_POSTS = 16, 90
LONG = "€" * 3_900  # nearly as long as a message may be; and its octets are three times as many
KEPT = "SELECT count(*) FROM messages"
UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
HELD_UP = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'chat' AND wait_event_type = 'Lock'"
VICTIMS = ("chat.1", "valkey-server", "postgres-server")
NO_CONTENT, UNAUTHORIZED, FORBIDDEN = 204, 401, 403


@pytest.fixture(scope="module")
def second_gateway(system: System) -> Iterator[SecondGateway]:
    second = SecondGateway(system)
    try:
        second.wait_until_ready()
        yield second
    finally:
        second.end(signal.SIGKILL)


@pytest.fixture
async def stage(system: System, second_gateway: SecondGateway) -> AsyncIterator[Stage]:
    async with staged(system, second_gateway) as stage:
        yield stage


def require_all_heard(stage: Stage, room_id: str, talkers: Sequence[Talker]) -> list[Line]:
    """What was said, which is what each of them has heard, and has been told of the own posts."""
    lines = said(stage.system.environment, room_id)
    for talker in talkers:
        assert faults(talker.transcripts[room_id], lines) == []
        assert unkept(talker.posted[room_id], lines) == []
    return lines


async def all_have_seen(talkers: Sequence[Talker], room_id: str, seq: int) -> None:
    await eventually(lambda: all((each.transcripts[room_id].seen or 0) >= seq for each in talkers), SECONDS)


# Talking


async def test_what_is_said_on_one_gateway_is_heard_on_both(stage: Stage) -> None:
    people = await stage.people("Ada", "Ben", "Cem")
    room_id = await people[0].make_room(*people)
    ada, ben = (
        Talker(each, [url], [room_id]) for each, url in zip(people, (stage.first, stage.second), strict=False)
    )
    async with talking(ada, ben):
        for number in range(1, 4):
            assert await ada.say(room_id, f"Ada {number}") == 2 * number - 1
            assert await ben.say(room_id, f"Ben {number}") == 2 * number
        cem = Talker(people[2], [stage.second], [room_id], after=None)
        async with talking(cem):
            await ada.say(room_id, "Cem hears this, and nothing that was before")
            await all_have_seen([ada, ben, cem], room_id, 7)
            everybody = {each.user_id for each in people}
            await eventually(
                lambda: all(each.present[room_id] == everybody for each in (ada, ben, cem)), SECONDS
            )
        assert cem.transcripts[room_id].after == 6
        require_all_heard(stage, room_id, [ada, ben, cem])

        deleted = await people[0].ask("DELETE", f"/chat/rooms/{room_id}/messages/1")
        assert deleted.status == NO_CONTENT
        frame = {"type": "deleted", "room": room_id, "seq": 1}
        await eventually(lambda: ada.others == ben.others == [frame], SECONDS)
    assert require_all_heard(stage, room_id, [ada, ben])[0].text == ""


async def test_who_is_removed_from_a_private_room_hears_no_more_of_it(stage: Stage) -> None:
    people = await stage.people("Ada", "Ben")
    room_id = await people[0].make_room(*people)
    ada, ben = (Talker(people[0], [stage.first], [room_id]), Talker(people[1], [stage.second], [room_id]))
    async with talking(ada, ben):
        await ada.say(room_id, "Hello")
        await all_have_seen([ben], room_id, 1)
        await people[0].ask("DELETE", f"/chat/rooms/{room_id}/members/{people[1].user_id}")
        frame = {"type": "unsubscribed", "room": room_id, "code": "removed"}
        await eventually(lambda: ben.others == [frame], SECONDS)
        with pytest.raises(Refused, match="not_subscribed"):
            await ben.ask(type="post", room=room_id, key="k", text="I am still here")
        with pytest.raises(Refused, match="not_found"):
            await ben.ask(type="subscribe", room=room_id, after=0)
        await ada.say(room_id, "Just between us")
        await all_have_seen([ada], room_id, 2)
    assert ben.transcripts[room_id].lines == ada.transcripts[room_id].lines[:1]


async def test_what_becomes_of_an_order_reaches_its_owners_sockets(stage: Stage) -> None:
    ada, ben = await stage.people("Ada", "Ben")
    product_id = await make_product(stage, on_hand=1)
    both = [Talker(ada, [url], []) for url in (stage.first, stage.second)]
    bens = Talker(ben, [stage.first], [])
    async with talking(*both, bens):
        await ada.ask("POST", "/wallet/deposits", {"amount": 1_000, "currency": "KRW"})
        bought = await order(ada, product_id, 1)
        await eventually(lambda: all(len(each.others) == 2 for each in both), SECONDS)
        missing = await order(ada, product_id, 1)
        await eventually(lambda: all(len(each.others) == 4 for each in both), SECONDS)
        bens_own = await order(ben, product_id, 1)
        await eventually(lambda: len(bens.others) == 2, SECONDS)
    cancelled = {"status": "CANCELLED", "reason": "out_of_stock"}
    told = [
        {"type": "order", "order_id": order_id, **state}
        for order_id, end in ((bought, {"status": "CONFIRMED"}), (missing, cancelled), (bens_own, cancelled))
        for state in ({"status": "PENDING"}, end)
    ]
    assert [each.others for each in (*both, bens)] == [told[:4], told[:4], told[4:]]


async def make_product(stage: Stage, on_hand: int) -> str:
    account = {"email": ADMIN_EMAIL, "password": ADMIN_PASSWORD}
    admin = await Person(stage.client, account).logged_in()
    price = {"amount": 1_000, "currency": "KRW"}
    made = await admin.ask("POST", "/products", {"name": "Kettle", "price": price})
    product_id = str(made.document["product_id"])
    stocked = await admin.ask("PUT", f"/inventory/{product_id}", {"on_hand": on_hand})
    assert (made.status, stocked.status) == (CREATED, OK)
    return product_id


async def order(person: Person, product_id: str, quantity: int) -> str:
    items = [{"product_id": product_id, "quantity": quantity}]
    return str((await person.ask("POST", "/orders", {"items": items})).document["order_id"])


# Sessions


async def test_a_logout_closes_the_sessions_sockets_on_both_gateways_at_once(stage: Stage) -> None:
    (ada,) = await stage.people("Ada")
    assert min([await seconds_until_closed(stage, ada) for _ in range(3)]) < AT_ONCE_SECONDS


async def seconds_until_closed(stage: Stage, ada: Person) -> float:
    """After a logout. Another session of hers goes on, and a refresh before changes nothing."""
    laptop, phone = await ada.logged_in(), await ada.logged_in()
    room_id = await laptop.make_room()
    sockets = [Talker(laptop, [url], [room_id]) for url in (stage.first, stage.second)]
    other = Talker(phone, [stage.first], [room_id])
    async with talking(*sockets, other):
        await laptop.refresh()
        seqs = [await each.say(room_id, "Still here") for each in sockets]
        assert (await laptop.ask("POST", "/auth/logout")).status == NO_CONTENT
        started = time.monotonic()
        await eventually(lambda: all(each.closes for each in sockets), SECONDS)
        seconds = time.monotonic() - started
        assert await other.say(room_id, "And I still am") == max(seqs) + 1
    assert [each.code for talker in sockets for each in talker.closes] == [SESSION_ENDED] * 2
    assert other.closes == []
    return seconds


async def test_a_lock_closes_all_sockets_of_the_account(stage: Stage) -> None:
    ada, ben = await stage.people("Ada", "Ben")
    room_id = await ada.make_room(ben)
    hers = [
        Talker(each, [url], [room_id])
        for each, url in ((ada, stage.first), (await ada.logged_in(), stage.second))
    ]
    bens = Talker(ben, [stage.second], [room_id])
    async with talking(*hers, bens):
        lock = ("users", "lock", ada.email, "--reason", "reported stolen")
        locked = await asyncio.to_thread(stage.system.command, "admin", *lock)
        assert locked.returncode == 0, locked.stderr
        await eventually(lambda: all(each.closes for each in hers), SECONDS)
        await bens.say(room_id, "Where is she?")
    assert [each.code for talker in hers for each in talker.closes] == [SESSION_ENDED] * 2


# Tickets


async def refusal(url: str, origin: str | None = None) -> int:
    """The status of the answer to a handshake that must not succeed."""
    with pytest.raises(HandshakeRefused) as refused:
        async with connect(url, origin=origin):
            pass
    return refused.value.status


async def test_a_ticket_opens_one_socket_within_seconds_while_its_session_lasts(stage: Stage) -> None:
    ada, ben = await stage.people("Ada", "Ben")
    used, expired, stolen = [await each.ticket() for each in (ada, ada, ben)]
    async with connect(f"{stage.first}?ticket={used}"):
        assert await refusal(f"{stage.second}?ticket={used}") == UNAUTHORIZED
    assert 0 < expire(stage.system, expired) <= TICKET_SECONDS
    assert await refusal(f"{stage.first}?ticket={expired}") == UNAUTHORIZED
    assert (await ben.ask("POST", "/auth/logout")).status == NO_CONTENT
    assert await refusal(f"{stage.second}?ticket={stolen}") == UNAUTHORIZED
    for nothing in ("", "?ticket=", f"?ticket={'A' * 43}"):
        assert await refusal(f"{stage.first}{nothing}") == UNAUTHORIZED


def expire(system: System, ticket: str) -> float:
    """Let its time pass; how many seconds were left."""
    key = f"ticket:{hashlib.sha256(ticket.encode()).hexdigest()}"
    with redis.Redis.from_url(system.environment.redis_url().value) as store:
        left = store.pttl(key)
        store.pexpire(key, 0)
    return int(left) / 1000


async def test_only_pages_of_our_own_open_sockets(stage: Stage) -> None:
    (ada,) = await stage.people("Ada")
    url = f"{stage.first}?ticket={await ada.ticket()}"
    for foreign in ("https://evil.example", "null", stage.system.url("auth")):
        assert await refusal(url, foreign) == FORBIDDEN
    async with connect(url, origin=stage.system.url()):  # and the ticket has not been used up
        pass


# Whoever is slow, and whatever dies


async def test_who_never_reads_is_closed_and_nobody_else_waits(stage: Stage) -> None:
    people = await stage.people("Ada", "Ben", "Deaf")
    room_id, long_talked_in = [await people[0].make_room(*people) for _ in range(2)]
    ada, ben = (Talker(each, [stage.second], [room_id, long_talked_in]) for each in people[:2])
    async with talking(ada, ben), small_socket(stage.second, await people[2].ticket()) as deaf:
        for number in range(HISTORY_POSTS):
            await ada.say(long_talked_in, f"{number} {LONG}")
        await deaf.send(json.dumps({"type": "subscribe", "room": room_id}))
        await talk_until_full(stage, ada, room_id, deaf, long_talked_in)
        await all_have_seen([ada, ben], room_id, await ben.say(room_id, "Who is that?"))
        assert await close_code(deaf) == TOO_SLOW
    assert (ada.closes, ben.closes) == ([], [])
    require_all_heard(stage, room_id, [ada, ben])


@asynccontextmanager
async def small_socket(gateway: str, ticket: str) -> AsyncIterator[Socket]:
    """Without compression, and what is not read does not pile up in the system by dozens of megabytes."""
    parts = urlsplit(gateway)
    with socket.socket() as raw:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED_BYTES)
        raw.connect((parts.hostname, parts.port))
        deaf = Socket(*await asyncio.open_connection(sock=raw))
        await deaf.open(Request(host=parts.netloc, target=f"{parts.path}?ticket={ticket}"))
        try:
            yield deaf
        finally:
            await deaf.close()


async def talk_until_full(stage: Stage, ada: Talker, room_id: str, deaf: Socket, long_talked_in: str) -> None:
    """More stands in the gateway then than may. Some megabytes are on their way to the deaf before."""
    everything = json.dumps({"type": "subscribe", "room": long_talked_in, "after": 0})
    for number in range(MOST_POSTS):
        waiting = stage.second_gateway.queue_bytes()
        if waiting > QUEUE_BYTES:
            return
        for _ in range(0 if waiting else 4):  # no answer is begun while an earlier one waits
            await deaf.send(everything)
        await ada.say(room_id, f"{number} more {LONG}")
    raise AssertionError("somebody must read all that")


async def close_code(deaf: Socket) -> int:
    """Read on until the end."""
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                await deaf.receive()
    except SocketClosed as closed:
        return closed.code


async def test_what_the_bus_has_lost_is_fetched_from_the_database(stage: Stage) -> None:
    people = await stage.people("Ada", "Ben")
    room_id = await people[0].make_room(*people)
    ada, ben = (Talker(people[0], [stage.first], [room_id]), Talker(people[1], [stage.second], [room_id]))
    async with talking(ada, ben):
        with frozen(stage.system, "ws_gateway.1"), database(stage.system, "chat") as chat:
            seqs = [await ben.say(room_id, f"Number {number}") for number in range(3)]
            await eventually(lambda: number_by(chat, UNPUBLISHED) == 0, SECONDS)
            forget_events(stage.system)
        await all_have_seen([ada, ben], room_id, max(seqs))
    require_all_heard(stage, room_id, [ada, ben])


def forget_events(system: System) -> None:
    """As a store that was killed before it had written them; all connections to it break."""
    with redis.Redis.from_url(system.environment.redis_url().value) as store:
        store.delete(*streams_of("chat"))
        store.client_kill_filter(_type="normal", skipme=True)


async def test_whatever_dies_everybody_hears_everything_in_order_once(stage: Stage) -> None:
    people = await stage.people("Ada", "Ben", "Cem", "Dan", "Late", "Ghost")
    rooms = [await people[0].make_room(*people), await people[1].make_room(private=False)]
    ways = ([stage.first, stage.second], [stage.second, stage.first])
    talkers = [Talker(each, ways[number % 2], rooms) for number, each in enumerate(people[:4])]
    late = Talker(people[4], ways[0], rooms, after=None)
    async with talking(*talkers):
        async with chattering(*talkers) as talk:
            await drain_second_gateway(stage, talk)
            assert any(each.code == GOING_AWAY for talker in talkers for each in talker.closes)
            await kill_second_gateway(stage, talk, people[5], rooms[0])
            await kill_first_gateway_before_it_answers(stage, talk)
        async with talking(late):
            async with chattering(*talkers) as talk:
                for victim in VICTIMS:
                    stage.system.kill(victim)
                    await talk.goes_on(SECONDS)
            await talk.is_heard([*talkers, late], SECONDS)
            await asyncio.to_thread(stage.system.wait_until_ready)
            for room_id in rooms:
                lines = require_all_heard(stage, room_id, [*talkers, late])
                assert repeated(lines) == []
            present = {each.person.user_id for each in (*talkers, late)}
            await eventually(lambda: all(each.present[rooms[0]] == present for each in talkers), SECONDS)


async def drain_second_gateway(stage: Stage, talk: Chatter) -> None:
    assert await asyncio.to_thread(stage.second_gateway.end, signal.SIGTERM) == 0
    stage.second_gateway.start()
    await talk.goes_on(SECONDS)
    await asyncio.to_thread(stage.second_gateway.wait_until_ready)


async def kill_second_gateway(stage: Stage, talk: Chatter, ghost: Person, room_id: str) -> None:
    """With a user on it who has been seen by all, and never comes back."""
    async with connect(f"{stage.second}?ticket={await ghost.ticket()}") as ghosts:
        await ghosts.send(json.dumps({"type": "subscribe", "room": room_id}))
        await eventually(
            lambda: all(ghost.user_id in each.present[room_id] for each in talk.talkers), SECONDS
        )
        stage.second_gateway.end(signal.SIGKILL)
    stage.second_gateway.start()
    await talk.goes_on(SECONDS)


async def kill_first_gateway_before_it_answers(stage: Stage, talk: Chatter) -> None:
    """In each room somebody has said something that is kept; nobody is told, so they say it again."""
    rooms = len(talk.talkers[0].transcripts)
    with database(stage.system, "chat") as chat:
        with database(stage.system, "chat") as holder, holder.transaction():
            holder.execute("SELECT FROM rooms FOR UPDATE")
            await eventually(lambda: number_by(chat, HELD_UP) >= rooms, SECONDS)
            stage.system.kill("ws_gateway.1", signal.SIGSTOP)
            kept = number_by(chat, KEPT)
        await eventually(lambda: number_by(chat, KEPT) >= kept + rooms, SECONDS)
    stage.system.kill("ws_gateway.1")
    await talk.goes_on(SECONDS)


def number_by(connection: psycopg.Connection, query: LiteralString) -> int:
    (row,) = connection.execute(query).fetchall()
    return int(row[0])
