"""The HTTP/1.1 server: accepts connections, bounds what they cost, and drains them when the process leaves.

What happens on one connection stands in `shared.http.connection`.
"""

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shared.config import ConfigError
from shared.http.connection import REFUSALS, Connection, ServerLimits, refuse
from shared.http.messages import Handler
from shared.http.stream import Stream
from shared.observability import metrics
from shared.runtime import Readiness
from shared.tasks import spawn


class Server:
    """The connections of one listening socket. Made by `serve`."""

    def __init__(self, handler: Handler, limits: ServerLimits, *, cancel_on_disconnect: bool) -> None:
        self._handler = handler
        self._limits = limits
        self._cancel_on_disconnect = cancel_on_disconnect
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._per_client: Counter[str] = Counter()
        self._draining = False
        self.port = 0
        metrics.start_at_zero(metrics.REFUSED, *((str(status),) for status in REFUSALS))
        metrics.start_at_zero(metrics.PARSED_BY_H11, ("request",), ("response",))

    async def listen(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> asyncio.Server:
        """Start accepting. Raises ConfigError when the address cannot be had."""
        loop = asyncio.get_running_loop()
        try:
            listener = await loop.create_server(
                lambda: Stream(self._accept), host, port, ssl=tls, backlog=1024, reuse_address=True
            )
        except OSError as taken:
            raise ConfigError(f"{host}:{port}", f"cannot listen there: {taken.strerror}") from taken
        self.port = listener.sockets[0].getsockname()[1]
        return listener

    async def drain(self, seconds: float) -> None:
        """Close idle connections at once, and the others after the answer they are at, or after `seconds`."""
        self._draining = True
        for connection in self._connections.values():
            connection.stop_when_idle()
        tasks = list(self._connections)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)

    def _accept(self, stream: Stream) -> None:
        full = len(self._connections) >= self._limits.connections
        if self._draining or full or self._per_client[stream.peer] >= self._limits.connections_per_client:
            refuse(stream, 503, "There are too many connections.")
            stream.close()
            return
        connection = Connection(
            stream,
            self._handler,
            self._limits,
            lambda: self._forget_client(stream.peer),
            cancel_on_disconnect=self._cancel_on_disconnect,
        )
        task = spawn(connection.serve(), f"connection from {stream.peer}")
        self._connections[task] = connection
        self._per_client[stream.peer] += 1
        metrics.CONNECTIONS.inc()
        task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        connection = self._connections.pop(task)
        if not connection.is_upgraded:
            self._forget_client(connection.stream.peer)
        metrics.CONNECTIONS.dec()

    def _forget_client(self, peer: str) -> None:
        self._per_client[peer] -= 1
        if not self._per_client[peer]:
            del self._per_client[peer]


@asynccontextmanager
async def serve(
    handler: Handler,
    host: str,
    port: int,
    *,
    limits: ServerLimits | None = None,
    cancel_on_disconnect: bool = False,
    readiness: Readiness | None = None,
    drain_seconds: float = 3.0,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Server]:
    """A server that listens while the block runs, and drains for up to `drain_seconds` when it is left.

    Port 0 asks for a free one; `.port` tells which. `cancel_on_disconnect` is for proxies: a client that
    leaves cancels its handler. Raises ConfigError when the address cannot be had.
    """
    server = Server(handler, limits or ServerLimits(), cancel_on_disconnect=cancel_on_disconnect)
    listener = await server.listen(host, port, tls)
    try:
        yield server
    finally:
        if readiness is not None:
            readiness.draining = True
        listener.close()
        await server.drain(drain_seconds)
