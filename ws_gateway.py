"""The WebSocket gateway: it holds connections and moves messages, nothing else.

    ticket → upgrade → subscribe → relay

A client opens a socket with a one-time ticket, which the auth server has issued through the main gateway. It
subscribes to rooms. What it posts is committed by the chat service, comes back over the event bus to every
WebSocket gateway, and goes from there to every subscriber. Rooms, members and history belong to the chat
service, sessions to the auth server: any number of these processes may run, and none has what another lacks.

    python ws_gateway.py
    python ws_gateway.py --echo --port N      every message comes back: for suites that test the protocol
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack

from services.ws_gateway.clients import RemoteChat
from services.ws_gateway.handler.echo import echo
from services.ws_gateway.handler.feed import Feed
from services.ws_gateway.handler.opening import Opening
from services.ws_gateway.handler.visitors import Visitor
from services.ws_gateway.presence_store import ValkeyPresenceStore
from services.ws_gateway.service.presence import Presence
from services.ws_gateway.service.rooms import RECOVERY_BYTES, Rooms
from services.ws_gateway.service.sessions import Sessions
from services.ws_gateway.settings import SocketSettings
from shared.auth.revocation_list import Kind
from shared.auth.revocation_mirror import STALE_SECONDS, RevocationMirror
from shared.auth.tickets import TicketStore
from shared.config import LOOPBACK, MAX_PORT, Environment
from shared.descriptors import provide_for
from shared.events.transports import open_bus
from shared.http.chain import chain
from shared.http.connection import ServerLimits
from shared.http.operations import operations_routes
from shared.http.routing import Route, Router
from shared.http.server import Server, serve
from shared.middleware.access_log import access_log
from shared.middleware.client_address import TrustedProxies
from shared.middleware.errors import errors
from shared.middleware.request_id import request_id
from shared.observability import metrics
from shared.rpc.channel import Channel
from shared.runtime import Readiness, forever, run
from shared.tasks import background
from shared.websocket.encoding import Encoded
from shared.websocket.hub import Hub

NAME = "ws_gateway"
PATH = "/ws"
KNOCKING = 1_000  # connections that are not open sockets yet
RECONNECT_SECONDS = 1.0  # for a client to get a ticket and be back: so soon nobody is told that it was gone
KNOCKING_SECONDS = 10.0  # for a connection to say what it wants: it asks for one thing

_log = logging.getLogger(__name__)


async def main(environment: Environment) -> None:
    """Serve until told to stop. Raises ConfigError.

    Neither chat nor the bus need be there: sockets stay open, and rooms are caught up when both are back.
    """
    settings = SocketSettings.read(environment)
    provide_for(settings.connections + KNOCKING)
    readiness = Readiness()
    hub: Hub[Visitor] = Hub()
    async with AsyncExitStack() as stack:
        enter = stack.enter_async_context
        tickets = await enter(TicketStore(environment.redis_url()))
        sessions = Sessions(hub, tickets)
        revocations = await enter(_revocations(environment, sessions))
        readiness.require("revocations", revocations.check)
        bus = await enter(open_bus(environment))
        chat = RemoteChat(await enter(Channel.read(environment, NAME, "chat")))
        presences = await enter(ValkeyPresenceStore(environment.redis_url()))

        def announce(room_id: str, joined: Sequence[str], left: Sequence[str]) -> None:
            rooms.announce(room_id, joined, left)

        grace = settings.reconnect_spread + RECONNECT_SECONDS
        presence = Presence(presences, announce, grace_seconds=grace)
        recovery_bytes = min(RECOVERY_BYTES, settings.socket.queue_bytes // 2)
        rooms = Rooms(chat, presence, settings.subscriptions, recovery_bytes)
        feed = Feed(bus, rooms, _to_user(hub))
        await enter(background(hub.keep_pinging(), "pings"))
        await enter(background(sessions.run(revocations.age), "sessions"))
        await enter(background(presence.run(), "presence"))
        await enter(background(rooms.run(), "rooms"))
        await enter(background(feed.run(), "feed"))
        stack.push_async_callback(presence.depart)
        _show(hub, rooms)

        opening = Opening(settings, tickets, revocations, hub, rooms)
        operator = await enter(_serve_operator(environment, readiness))
        public = await enter(_serve_clients(environment, settings, opening, readiness))
        _log.info("gateway listens", extra={"port": public.port, "admin_port": operator.port})
        await forever()


def _revocations(environment: Environment, sessions: Sessions) -> RevocationMirror:
    return RevocationMirror(
        environment.redis_url(),
        stale_seconds=environment.seconds("REVOCATION_STALE_SECONDS", STALE_SECONDS),
        on_revoked=sessions.revoked,
    )


def _to_user(hub: Hub[Visitor]) -> Callable[[str, Encoded], None]:
    def send(user_id: str, frame: Encoded) -> None:
        for visitor in hub.under((Kind.USER, user_id)):
            visitor.send(frame)

    return send


def _show(hub: Hub[Visitor], rooms: Rooms) -> None:
    metrics.show(metrics.WS_CONNECTIONS, lambda: len(hub))
    metrics.show(metrics.WS_SUBSCRIPTIONS, rooms.count)
    metrics.show(metrics.WS_QUEUE, lambda: sum(visitor.socket.queue_bytes for visitor in hub))
    counters = (metrics.WS_MESSAGES_IN, metrics.WS_MESSAGES_OUT, metrics.WS_CLOSES)
    for metric in (*counters, metrics.WS_RECOVERIES, metrics.WS_REFUSED):
        metrics.expose(metric)


# What listens


def _serve_operator(environment: Environment, readiness: Readiness) -> AbstractAsyncContextManager[Server]:
    """On loopback: /healthz, /readyz, /metrics."""
    handler = chain(Router(operations_routes(readiness)), request_id(), errors())
    return serve(handler, LOOPBACK, environment.port("ws_gateway_admin"))


def _serve_clients(
    environment: Environment, settings: SocketSettings, opening: Opening, readiness: Readiness
) -> AbstractAsyncContextManager[Server]:
    """Where sockets are opened. When it is left, all of them are told to come back elsewhere."""
    handler = chain(
        Router([Route("GET", PATH, opening.open)]),
        request_id(TrustedProxies(environment.words("TRUSTED_PROXIES"))),
        access_log(NAME),
        errors(),
    )
    limits = ServerLimits(connections=settings.connections + KNOCKING, idle_seconds=KNOCKING_SECONDS)
    host = environment.text("BIND_HOST", LOOPBACK)
    return serve(handler, host, environment.port(NAME), limits=limits, readiness=readiness)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The WebSocket gateway.")
    parser.add_argument(
        "--echo", action="store_true", help="send every message back: any path, no tickets, on loopback only"
    )
    parser.add_argument("--port", type=_port, metavar="N", help="with --echo: where; 0 for a free one")
    arguments = parser.parse_args()
    if arguments.port is not None and not arguments.echo:
        parser.error("--port is for --echo: the gateway itself listens at PORT_BASE + 1")
    return arguments


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
        raise argparse.ArgumentTypeError(f"must be a port from 0 to {MAX_PORT}, not {text!r}")
    return int(text)


if __name__ == "__main__":
    arguments = _arguments()
    run(NAME, (lambda _: echo(arguments.port or 0)) if arguments.echo else main)
