"""The echo mode: every message comes back as it was. For suites that test the protocol, and for measuring.

Any path, no tickets, no limit but the size of a message. It listens on loopback only: there is nothing that
keeps a stranger out.
"""

import logging
from contextlib import AsyncExitStack

from shared import descriptors
from shared.config import LOOPBACK
from shared.http.chain import chain
from shared.http.connection import ServerLimits
from shared.http.messages import Request, Response
from shared.http.server import serve
from shared.http.stream import Stream
from shared.middleware.errors import errors
from shared.runtime import forever
from shared.tasks import background
from shared.websocket.connection import GOING_AWAY, NO_LIMIT, SocketLimits, WebSocket
from shared.websocket.encoding import Encoded
from shared.websocket.handshake import accepting_fields, read_handshake
from shared.websocket.hub import Hub

MESSAGE_BYTES = 16 * 1024 * 1024
CONNECTIONS = 16_000

_LIMITS = SocketLimits(message_bytes=MESSAGE_BYTES, frames=NO_LIMIT, queue_bytes=2 * MESSAGE_BYTES)

_log = logging.getLogger(__name__)


class Echo:
    """One socket whose messages come back."""

    def __init__(self, socket: WebSocket, hub: "Hub[Echo]") -> None:
        self.socket = socket
        self._hub = hub

    async def serve(self, stream: Stream) -> None:
        """Until it is closed."""
        self.socket.attach(stream)
        self._hub.add(self, ())
        try:
            while (message := await self.socket.receive()) is not None:
                self.socket.send(Encoded(message))
                await self.socket.drain()
        finally:
            self._hub.remove(self)
        await self.socket.finish()

    def leave(self) -> None:
        """The process ends."""
        self.socket.close(GOING_AWAY)


async def echo(port: int) -> None:
    """Serve on loopback until told to stop. Raises ConfigError when the port cannot be had."""
    descriptors.provide_for(CONNECTIONS)
    hub: Hub[Echo] = Hub()

    async def open_socket(request: Request) -> Response:
        handshake = read_handshake(request)
        socket = WebSocket(_LIMITS, handshake.deflate)
        return Response(101, accepting_fields(handshake), upgrade=Echo(socket, hub))

    limits = ServerLimits(connections=CONNECTIONS, connections_per_client=CONNECTIONS)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(background(hub.keep_pinging(), "pings"))
        server = await stack.enter_async_context(
            serve(chain(open_socket, errors()), LOOPBACK, port, limits=limits)
        )
        _log.info("echoes", extra={"port": server.port})
        await forever()
