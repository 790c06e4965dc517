"""One TCP connection with a linear face: read with `await`, write without.

A slim class over asyncio.Protocol in the manner of asyncio's own streams. What it has on them: one `bytes`
buffer that parsers look at directly, a future only when data is really missing, and one lazily re-armed
timer for all deadlines, so that setting a deadline for every request costs next to nothing.
"""

import asyncio
from collections.abc import Callable
from typing import cast

READ_AHEAD_BYTES = 262_144  # received and not yet asked for; beyond it the peer is told to wait
HALF_CLOSED_SECONDS = 1.0  # a peer that shut down its sending side may still read an answer for so long


class ConnectionGone(Exception):
    """The peer closed or lost the connection in the middle of something."""


class DeadlineReached(Exception):
    """The stream's deadline passed while somebody waited for the peer."""


class Stream(asyncio.Protocol):
    """A connection. `buffer` holds what has been received and not yet taken; its reader may replace it."""

    __slots__ = (
        "_deadline",
        "_drained",
        "_failure",
        "_is_late",
        "_loop",
        "_on_connected",
        "_on_gone",
        "_reading_paused",
        "_received",
        "_timer",
        "_writing_paused",
        "at_eof",
        "buffer",
        "is_encrypted",
        "peer",
        "transport",
    )

    def __init__(self, on_connected: "Callable[[Stream], None] | None" = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_connected = on_connected
        self._received: asyncio.Future[bool] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._failure: Exception | None = None
        self._deadline: float | None = None
        self._is_late = False
        self._timer: asyncio.TimerHandle | None = None
        self._reading_paused = False
        self._writing_paused = False
        self.buffer = b""
        self.at_eof = False
        self.peer = ""
        self.is_encrypted = False
        self._on_gone: Callable[[], object] | None = None

    # Reading

    def receive(self) -> "asyncio.Future[bool]":
        """To be awaited until more has arrived in `buffer`: then True; False at the end of the stream.

        Raises DeadlineReached, or ConnectionGone when the connection was lost.
        """
        if self._failure is not None:
            raise self._failure
        if self._is_late:
            raise DeadlineReached
        received = self._loop.create_future()
        if self.at_eof:
            received.set_result(False)
            return received
        if self._reading_paused:
            self._reading_paused = False
            self.transport.resume_reading()
        self._received = received
        return received

    # Writing

    def write(self, data: bytes) -> None:
        """Send `data`, without waiting. What a lost connection cannot take is dropped."""
        if self._failure is None and not self.transport.is_closing():  # otherwise uvloop raises RuntimeError
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written. Raises like `receive`."""
        if self._failure is not None:
            raise self._failure
        if self._writing_paused:
            self._drained = self._loop.create_future()
            try:
                await self._drained
            finally:
                self._drained = None

    @property
    def is_congested(self) -> bool:
        """True when `drain` has something to say: the peer is slow, or gone."""
        return self._writing_paused or self._failure is not None

    @property
    def is_closing(self) -> bool:
        """True when nothing more can be sent."""
        return self._failure is not None or self.transport.is_closing()

    # Deadlines

    def set_deadline(self, seconds: float | None) -> None:
        """From now on, whoever waits for the peer gets DeadlineReached after `seconds`; None for never."""
        self._is_late = False
        if seconds is None:
            self._deadline = None
            return
        self._deadline = deadline = self._loop.time() + seconds
        if self._timer is not None:
            if self._timer.when() <= deadline:
                return  # it fires too early, sees that, and arms itself again
            self._timer.cancel()
        self._timer = self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        if self._deadline is None:
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._on_timer)
            return
        self._deadline = None
        self._is_late = True  # also for a peer who always has something to say, but never what we wait for
        for waiter in (self._received, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_exception(DeadlineReached())

    # Noticing that the peer has left

    def watch(self, on_gone: Callable[[], object]) -> None:
        """Call `on_gone` once when the peer has left: lost, closed, or half-closed for a while."""
        self._on_gone = on_gone
        if self.at_eof:
            self._loop.call_later(HALF_CLOSED_SECONDS, self._gone)

    def unwatch(self) -> None:
        """Nobody cares any more."""
        self._on_gone = None

    def _gone(self) -> None:
        if self._on_gone is not None:
            on_gone, self._on_gone = self._on_gone, None
            on_gone()

    # Closing

    def close(self) -> None:
        """Close after what was written has been sent."""
        self.transport.close()

    def abort(self) -> None:
        """Close at once; the peer sees that something went wrong."""
        self.transport.abort()

    async def linger(self, seconds: float) -> None:
        """Close so that the peer can read our last words: a close with unread data would reset them.

        (RFC 9112 section 9.6.)
        """
        self.set_deadline(seconds)
        try:
            if self.transport.can_write_eof():
                self.transport.write_eof()
            self.buffer = b""
            while await self.receive():
                self.buffer = b""
        except (ConnectionGone, DeadlineReached, OSError):
            pass
        finally:
            self.close()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)
        address = transport.get_extra_info("peername")
        self.peer = address[0] if address else ""
        self.is_encrypted = transport.get_extra_info("sslcontext") is not None
        if self._on_connected is not None:
            self._on_connected(self)

    def data_received(self, data: bytes) -> None:
        """More has come."""
        self.buffer = self.buffer + data if self.buffer else data
        waiter, self._received = self._received, None
        if waiter is not None and not waiter.done():
            waiter.set_result(True)
        elif len(self.buffer) > READ_AHEAD_BYTES and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The peer sends no more; it may still read, so the connection stays open for a while."""
        self.at_eof = True
        if self._received is not None and not self._received.done():
            self._received.set_result(False)
        if self._on_gone is not None:
            self._loop.call_later(HALF_CLOSED_SECONDS, self._gone)
        return not self.is_encrypted  # TLS has no half-closed state here

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is no more."""
        self.at_eof = True
        self._failure = ConnectionGone()
        self._failure.__cause__ = exc
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for waiter in (self._received, self._drained):
            if waiter is not None and not waiter.done():
                waiter.set_exception(ConnectionGone())
        self._gone()

    def pause_writing(self) -> None:
        """The peer reads more slowly than we write."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The peer has caught up."""
        self._writing_paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
