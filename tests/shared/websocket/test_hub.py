"""Who is found under what, and who is pinged when."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest

from shared.tasks import background
from shared.websocket import hub as hub_module
from shared.websocket.connection import POLICY, SocketLimits, WebSocket
from shared.websocket.hub import Hub
from tests.shared.websocket.peer import PING, PONG, Frame, Peer, Room, echoing, frame
from tests.waiting import eventually


@dataclass(frozen=True, eq=False)
class Owner:
    """Of a socket."""

    socket: WebSocket


def owner() -> Owner:
    """Of one that nobody has connected."""
    return Owner(WebSocket(SocketLimits(), None))


async def test_holders_are_found_by_what_they_belong_to() -> None:
    hub: Hub[Owner] = Hub()
    ada, ada_too, bob = owner(), owner(), owner()
    hub.add(ada, ["user ada", "session 1"])
    hub.add(ada_too, ["user ada", "session 2"])
    hub.add(bob, ["user bob"])
    assert list(hub.under("user ada")) == [ada, ada_too]
    assert list(hub.under("session 2")) == [ada_too]
    assert (hub.count_under("user ada"), hub.count_under("nobody")) == (2, 0)
    assert (len(hub), list(hub)) == (3, [ada, ada_too, bob])

    hub.remove(ada)
    hub.remove(ada)
    assert list(hub.under("user ada")) == [ada_too]
    assert list(hub.under("session 1")) == []
    assert len(hub) == 2


async def test_whoever_goes_through_them_may_remove_them() -> None:
    hub: Hub[Owner] = Hub()
    for _ in range(3):
        hub.add(owner(), ["all"])
    for each in hub:
        hub.remove(each)
    assert (len(hub), hub.count_under("all")) == (0, 0)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    async with echoing(SocketLimits(close_seconds=0.1)) as server:
        yield server


async def add_to(hub: Hub[Owner], room: Room, count: int) -> list[Owner]:
    """The sockets of `count` peers."""
    await eventually(lambda: len(room.sockets) == count)
    owners = [Owner(socket) for socket in room.sockets]
    for each in owners:
        hub.add(each, ())
    return owners


async def pong_to(peer: Peer) -> None:
    """Answer the ping that must have come."""
    assert await peer.read() == Frame(PING, b"")
    peer.send(frame(PONG))


async def test_each_socket_is_pinged_once_in_a_while_and_not_all_at_once(room: Room) -> None:
    hub: Hub[Owner] = Hub(ping_seconds=3, pong_seconds=2)
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(room.peer()) for _ in range(4)]
        owners = await add_to(hub, room, 4)
        turns = []
        for _ in range(3):
            hub.tick()
            pinged = [number for number, each in enumerate(owners) if each.socket.is_silent]
            for number in pinged:
                await pong_to(peers[number])
            await eventually(lambda: not any(each.socket.is_silent for each in owners))
            turns.append(pinged)
    assert turns == [[0, 3], [1], [2]]


async def test_who_does_not_answer_in_time_is_closed(room: Room) -> None:
    hub: Hub[Owner] = Hub(ping_seconds=4, pong_seconds=2)
    async with room.peer() as silent, room.peer() as lively:
        owners = await add_to(hub, room, 2)
        hub.tick()
        hub.tick()  # now both have been pinged
        await pong_to(lively)
        await eventually(lambda: not owners[1].socket.is_silent)
        assert await silent.read() == Frame(PING, b"")
        hub.tick()
        hub.tick()
        last = await silent.read()
        assert (last.code, last.reason) == (POLICY, "no answer to a ping within 2 seconds")
        assert owners[1].socket.is_open


async def test_who_answers_too_late_has_been_given_up(room: Room) -> None:
    hub: Hub[Owner] = Hub(ping_seconds=2, pong_seconds=1)
    async with room.peer() as peer:
        (late,) = await add_to(hub, room, 1)
        hub.tick()
        hub.tick()
        await pong_to(peer)
        assert (await peer.read()).code == POLICY
        assert not late.socket.is_silent, "whoever is closed is not closed again"


async def test_those_who_have_gone_are_not_pinged(room: Room) -> None:
    hub: Hub[Owner] = Hub(ping_seconds=1, pong_seconds=0)
    async with room.peer():
        (gone,) = await add_to(hub, room, 1)
        hub.remove(gone)
        hub.tick()
        assert not gone.socket.is_silent


async def test_it_goes_on_by_itself(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "TICK_SECONDS", 0.01)
    hub: Hub[Owner] = Hub(ping_seconds=3, pong_seconds=2)
    async with room.peer() as peer, background(hub.keep_pinging(), "pings"):
        await add_to(hub, room, 1)
        for _ in range(3):
            await pong_to(peer)
        assert await peer.read() == Frame(PING, b"")
        assert (await peer.read()).code == POLICY
