"""Connections to one origin, kept for reuse: bounded in number, and so is the queue for them."""

import asyncio
import errno
import logging
import ssl
from collections import deque
from dataclasses import dataclass
from time import monotonic
from urllib.parse import urlsplit

from shared import descriptors
from shared.http.stream import Stream
from shared.observability import metrics
from shared.observability.trouble import IntermittentTrouble

_OUT_OF_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)  # of this process, of the whole machine

_shortage = IntermittentTrouble(  # one for all pools: they share what there is
    logging.getLogger(__name__), "no file descriptors left", "file descriptors suffice again"
)


class ClientError(Exception):
    """A request to another server failed. `detail` names no address: it may be shown to clients."""

    detail = "The server could not be asked."


class ConnectFailed(ClientError):
    """No connection: refused, unreachable, or not made in time. The request was not sent."""

    detail = "The server does not accept connections."


class OutOfDescriptors(ClientError):
    """No connection, because we have no file descriptor left for one: the server is not to blame."""

    detail = "There are too many connections at the moment."


class PoolExhausted(ClientError):
    """All connections stayed busy for too long, or too many requests wait. The request was not sent."""

    detail = "All connections to the server are busy."


@dataclass(frozen=True, slots=True)
class PoolLimits:
    """What we may cost an origin, and how long a request may wait for its turn."""

    connections: int = 128  # at once; more only queue up inside the origin
    waiting: int = 1024  # requests; past it, refusing at once is kinder than making them wait
    wait_seconds: float = 5.0  # for a free connection
    idle_seconds: float = 30.0  # then an unused one is closed: well before servers usually do (60 s and more)


class Pool:
    """The connections to one origin, `http://host:port` or `https://…`."""

    def __init__(self, origin: str, limits: PoolLimits) -> None:
        parts = urlsplit(origin)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._limits = limits
        self._idle: deque[tuple[Stream, float]] = deque()  # and since when; the one used last is on the right
        self._waiters: deque[asyncio.Future[Stream | None]] = deque()
        self._open = 0
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False
        self.authority = parts.netloc.rpartition("@")[2]
        metrics.POOL_CONNECTIONS.labels(origin, "idle").set_function(lambda: len(self._idle))
        metrics.POOL_CONNECTIONS.labels(origin, "busy").set_function(lambda: self._open - len(self._idle))
        metrics.POOL_WAITING.labels(origin).set_function(lambda: len(self._waiters))

    def take_idle(self) -> Stream | None:
        """A connection that has served before and is free; to be given back with `release`."""
        while self._idle:
            stream, _ = self._idle.pop()  # the one used last is the likeliest to be alive
            if _is_clean(stream):
                return stream
            self._discard(stream)
        return None

    def forget_idle(self) -> None:
        """Close what is unused: one of them turned out dead, so the others will be too."""
        while self._idle:
            self._discard(self._idle.pop()[0])

    async def acquire(self, connect_seconds: float) -> tuple[Stream, bool]:
        """A connection when none is idle, and whether it has served before; a new one if there is room.

        Raises ConnectFailed, OutOfDescriptors or PoolExhausted.
        """
        if self._open < self._limits.connections:
            self._open += 1
        elif (given := await self._wait()) is not None:
            return given, True
        return await self._connect(connect_seconds), False

    def release(self, stream: Stream, *, reusable: bool) -> None:
        """The exchange is over. `reusable` when both messages were sent and read to their end."""
        stream.set_deadline(None)
        if not reusable or self._closed or not _is_clean(stream):
            self._discard(stream)
        elif (waiter := self._next_waiter()) is not None:
            waiter.set_result(stream)
        else:
            self._idle.append((stream, monotonic()))
            if self._sweeper is None:
                self._sweep_in(self._limits.idle_seconds)

    def close(self) -> None:
        """Close what is unused now, and the rest when it comes back."""
        self._closed = True
        self.forget_idle()
        if self._sweeper is not None:
            self._sweeper.cancel()

    async def _connect(self, seconds: float) -> Stream:
        """A new connection, in a place that is counted as open already."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds):
                _, stream = await loop.create_connection(Stream, self._host, self._port, ssl=self._tls)
        except (OSError, TimeoutError) as failure:
            self._free_place()
            raise _why_not_connected(failure) from failure
        except BaseException:
            self._free_place()
            raise
        _shortage.worked()
        return stream

    async def _wait(self) -> Stream | None:
        """Our turn: a connection given back, or None for the place to open one in."""
        if len(self._waiters) >= self._limits.waiting:
            raise PoolExhausted
        waiter: asyncio.Future[Stream | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(self._limits.wait_seconds):
                return await waiter
        except BaseException as failure:
            self._leave_queue(waiter)
            if isinstance(failure, TimeoutError):
                raise PoolExhausted from failure
            raise

    def _leave_queue(self, waiter: "asyncio.Future[Stream | None]") -> None:
        """Who leaves may have been given a turn in the same instant; then it is passed on."""
        if not waiter.done() or waiter.cancelled():
            self._waiters.remove(waiter)
        elif (stream := waiter.result()) is not None:
            self.release(stream, reusable=True)
        else:
            self._free_place()

    def _next_waiter(self) -> "asyncio.Future[Stream | None] | None":
        for waiter in self._waiters:
            if not waiter.done():
                self._waiters.remove(waiter)
                return waiter
        return None

    def _discard(self, stream: Stream) -> None:
        stream.close() if _is_clean(stream) else stream.abort()
        self._free_place()

    def _free_place(self) -> None:
        waiter = self._next_waiter()
        if waiter is not None:
            waiter.set_result(None)
        else:
            self._open -= 1

    def _sweep_in(self, seconds: float) -> None:
        self._sweeper = asyncio.get_running_loop().call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """Close what has been idle for too long; look again when the next one might have been."""
        oldest_allowed = monotonic() - self._limits.idle_seconds
        while self._idle and self._idle[0][1] <= oldest_allowed:
            self._discard(self._idle.popleft()[0])
        self._sweeper = None
        if self._idle:
            self._sweep_in(self._idle[0][1] - oldest_allowed)


def _why_not_connected(failure: OSError) -> ClientError:
    if failure.errno not in _OUT_OF_DESCRIPTORS:
        return ConnectFailed()
    _shortage.failed(errno.errorcode[failure.errno], limit=descriptors.limit())
    return OutOfDescriptors()


def _is_clean(stream: Stream) -> bool:
    """Open, and without bytes that nobody asked for."""
    return not (stream.at_eof or stream.buffer or stream.is_closing)
