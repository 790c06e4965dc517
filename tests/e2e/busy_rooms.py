"""What happens in rooms again and again, so that every crash point of chat is passed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count

from scripts.support.load.patient_client import PatientClient
from scripts.support.websocket_client import HandshakeRefused, SocketClosed, connect
from shared.config import LOOPBACK
from shared.ports import port_of
from tests.e2e.chatter import chattering
from tests.e2e.people import Person
from tests.e2e.system import System
from tests.e2e.talkers import Talker, talking
from tests.e2e.transcripts import faults, repeated, said, unkept

CLIENTS, PATIENCE_SECONDS = 4, 300.0
PACE_SECONDS = 0.5
HEARD_SECONDS = 60.0


@asynccontextmanager
async def busy_rooms(system: System) -> AsyncIterator[None]:
    """Somebody talks while the block runs. In the end all that was said has been heard, in order, once."""
    client = PatientClient(system.url(), CLIENTS, PATIENCE_SECONDS)
    gateway = f"ws://{LOOPBACK}:{port_of('ws_gateway', system.port_base)}/ws"
    try:
        people = [await Person.new(client, name) for name in ("Ada", "Ben")]
        room_id = await people[0].make_room(people[1])
        talkers = [Talker(each, [gateway], [room_id]) for each in people]
        async with talking(*talkers):
            bustle = _bustle(talkers[0], people[1], gateway)
            async with chattering(*talkers, pace=PACE_SECONDS) as chatter, bustle:
                yield
            await chatter.is_heard(talkers, HEARD_SECONDS)
        _require_all_heard(system, room_id, talkers)
    finally:
        await client.close()


def _require_all_heard(system: System, room_id: str, talkers: list[Talker]) -> None:
    lines = said(system.environment, room_id)
    assert repeated(lines) == []
    for talker in talkers:
        assert faults(talker.transcripts[room_id], lines) == []
        assert unkept(talker.posted[room_id], lines) == []


@asynccontextmanager
async def _bustle(ada: Talker, ben: Person, gateway: str) -> AsyncIterator[None]:
    """Whatever else than talk there is to do, while the block runs."""
    async with asyncio.TaskGroup() as tasks:
        bustling = tasks.create_task(_go_on(ada, ben, gateway))
        try:
            yield
        finally:
            bustling.cancel()


async def _go_on(ada: Talker, ben: Person, gateway: str) -> None:
    (room_id,) = ada.transcripts
    for number in count(1):
        seq = await ada.say(room_id, f"I take back number {number}")
        await ada.person.ask("DELETE", f"/chat/rooms/{room_id}/messages/{seq}")
        another = await ada.person.make_room(ben)
        await ada.person.ask("DELETE", f"/chat/rooms/{another}/members/{ben.user_id}")
        await _drop_in(ada.person, gateway, room_id)
        await asyncio.sleep(PACE_SECONDS)


async def _drop_in(person: Person, gateway: str, room_id: str) -> None:
    """Hear what is said from now on, then also what was said before, and leave again."""
    with suppress(HandshakeRefused, SocketClosed, OSError, TimeoutError):
        async with connect(f"{gateway}?ticket={await person.ticket()}") as socket:
            for wish in ({}, {"after": 0}):
                await socket.send(json.dumps({"id": 1, "type": "subscribe", "room": room_id, **wish}))
                await socket.receive()
