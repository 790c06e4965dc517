"""The bus: what travels between services, and what both ends may rely on, whichever transport it is.

**At least once.** What a publisher has confirmed is delivered to every group, however often something dies.
It may be delivered again; the inbox makes of that one effect.

**Ordered per key.** Messages of one topic with the same key reach a group in the order in which they were
sent, one after the other: the next is not handed over before the one before has been handled. A message that
is sent again may return after later ones; the *first* time of each is always in order.

**Groups share, broadcasts copy.** Of all processes that `consume` for one group, one handles a message; a
group that begins late starts with the oldest message that there still is. Each process that listens to a
`broadcast` gets every message from then on; when it was cut off and listens again, it goes on where it was.

**Acknowledged after its effect.** A message counts as handled when `handle` has returned. A process that dies
before that leaves it to the next.

Topics are named after the services that publish them. Every method raises Unavailable when the engine behind
the bus cannot be reached; whoever called it calls it again.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

PARTITIONS = 8  # of a topic: how many processes of a group can work at the same time


@dataclass(frozen=True, slots=True)
class Message:
    """Octets for a topic. `place` says where a received one stands, in the transport's own words."""

    topic: str
    key: str
    value: bytes
    place: str = ""


Handle = Callable[[Message], Awaitable[None]]
Resumed = Callable[[], Awaitable[None]]

# How far a listener has come, in the transport's own words; empty before its first time. Whoever listens
# keeps it and hands it over again, without looking into it. It is good for one bus, within one process.
Heard = dict[str, Any]


class Publisher(Protocol):
    """A way onto the bus, good until the first error; then a new one is needed."""

    async def send(self, messages: Sequence[Message]) -> None:
        """Put `messages` on the bus, in their order. From now on they may be delivered.

        After Unavailable some may be there and others not; of each key, none without those before it.
        """

    async def confirm(self) -> None:
        """Return once everything sent so far outlives the death of the engine."""

    async def tidy(self) -> None:
        """Let the engine drop what every group has handled, if it does not do so by itself."""


class Bus(Protocol):
    """One engine, as this process reaches it. Nothing is connected before it is needed."""

    def publisher(self, topics: Sequence[str]) -> AbstractAsyncContextManager[Publisher]:
        """A publisher to `topics`, which are made if they are missing."""

    async def consume(self, group: str, topics: Sequence[str], handle: Handle) -> None:
        """Hand every message of `topics` to `handle`, in the name of `group`, until cancelled.

        What `handle` raises ends it; that message is not acknowledged.
        """

    async def broadcast(
        self, topics: Sequence[str], handle: Handle, resumed: Resumed, heard: Heard | None = None
    ) -> None:
        """Hand every message that comes to `topics` from now on to `handle`, until cancelled.

        Who listens again with the same `heard` goes on after the last message that was handled; one at which
        `handle` was when it ended comes again. What the bus has lost or dropped meanwhile is passed over: who
        had come further than the bus now reaches goes on from its end.

        `resumed` is called first, once nothing that comes can be missed any more; whoever starts again asks
        their sources there for what the bus may not have had.
        """

    def history(self, topic: str) -> AsyncIterator[Message]:
        """What there still is of `topic`, handled or not, up to what was there at the beginning.

        In order for each key. Disturbs no group.
        """

    async def lag(self, group: str, topics: Sequence[str]) -> Mapping[str, int]:
        """How many messages of each topic the group has not handled yet."""

    async def close(self) -> None:
        """Let go of what is connected."""
