"""Where one room is measured: a whole system with our gateway in it, and the peer at the same bus."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from bench.client import Client
from bench.machine import OTHER_CORE, SUBJECT_CORE
from bench.websocket_load import Plan
from bench.websocket_sides import OURS, Side, confine, listening_peer
from bench.websocket_speaker import Speaker
from bench.whole_system import Account, access_token, whole_system
from shared.auth.tickets import Ticket, TicketStore
from shared.config import Environment
from shared.ids import new_id
from shared.ports import port_of
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, CHEAP_PASSWORDS, System

PROCESSES = ("postgres", "valkey", "auth", "chat", "gateway", "ws_gateway")
CREATED = 201
TICKET_SECONDS, SESSION_SECONDS = 300, 3600


@dataclass(frozen=True, slots=True)
class Stand:
    """One side, with a room that no other side has, and who speaks there."""

    side: Side
    room_id: str
    environment: Environment
    speaker: Speaker

    def plan(self, count: int, *, compressed: bool) -> Plan:
        """So many subscribers to the room."""
        wish = json.dumps({"id": 1, "type": "subscribe", "room": self.room_id})
        return Plan(port=self.side.port, targets=self._targets(count), compressed=compressed, first=wish)

    def _targets(self, count: int) -> list[str]:
        return (
            asyncio.run(_with_tickets(self.environment, count)) if self.side.name == OURS else ["/"] * count
        )


@contextmanager
def open_stage(folder: Path) -> Iterator[list[Stand]]:
    """Ours and the peer's. What is measured has one core, and everything else the other."""
    with whole_system(folder / "home", CHEAP_PASSWORDS, PROCESSES) as system:
        gateway = system.process("ws_gateway.1").pid
        for each in system.records.alive().values():
            confine(each.pid, SUBJECT_CORE if each.pid == gateway else OTHER_CORE)
        ours = Side(OURS, port_of("ws_gateway", system.port_base), gateway)
        room_id = str(new_id())
        with listening_peer(folder, room_id, system.variables) as peer:
            yield [_stand(system, ours, _new_room(system)), _stand(system, peer, room_id)]


def _stand(system: System, side: Side, room_id: str) -> Stand:
    return Stand(side, room_id, system.environment, Speaker(system.environment, room_id))


def _new_room(system: System) -> str:
    token = access_token(system, Account(ADMIN_EMAIL, ADMIN_PASSWORD))
    with Client(system.url(), token) as client:
        reply = client.post("/chat/rooms", {"name": "Bench"})
    if reply.status != CREATED:
        raise RuntimeError(f"no room: {reply.status} {reply.body.decode()}")
    return cast(str, json.loads(reply.body)["room_id"])


async def _with_tickets(environment: Environment, count: int) -> list[str]:
    """Each with its own, as the auth server issues them, of as many users."""
    now_ms = time.time_ns() // 1_000_000
    async with TicketStore(environment.redis_url()) as store:
        return [f"/ws?ticket={await store.issue(_ticket(now_ms), TICKET_SECONDS)}" for _ in range(count)]


def _ticket(now_ms: int) -> Ticket:
    return Ticket(
        user_id=str(new_id()),
        display_name="Bench",
        session_id=str(new_id()),
        token_id=str(new_id()),
        roles=frozenset({"user"}),
        issued_at_ms=now_ms,
        session_expires_ms=now_ms + SESSION_SECONDS * 1000,
    )
