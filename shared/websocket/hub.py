"""All open sockets of a process: found by what they belong to, pinged, and counted.

Pings go out once in `ping_seconds` to each socket, not to all in the same instant: the sockets are spread
over as many slots as the interval has seconds, and each second one slot has its turn. Who has not answered
`pong_seconds` later is closed. So a peer that vanished without a word is noticed after 35 seconds at most,
and no socket needs a timer of its own.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar

from shared.websocket.connection import POLICY, WebSocket

PING_SECONDS = 25
PONG_SECONDS = 10
TICK_SECONDS = 1.0


class Holder(Protocol):
    """Who owns a socket."""

    @property
    def socket(self) -> WebSocket:
        """The one that it owns."""


H = TypeVar("H", bound=Holder)


class Hub(Generic[H]):
    """The holders of all sockets."""

    def __init__(self, ping_seconds: int = PING_SECONDS, pong_seconds: int = PONG_SECONDS) -> None:
        """Both in whole seconds, the latter less than the former."""
        self._pong_seconds = pong_seconds
        self._keys: dict[H, tuple[Hashable, ...]] = {}
        self._under: defaultdict[Hashable, dict[H, None]] = defaultdict(dict)
        self._slots: list[dict[H, None]] = [{} for _ in range(ping_seconds)]
        self._slot_of: dict[H, int] = {}
        self._tick = 0

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[H]:
        return iter(list(self._keys))

    def add(self, holder: H, keys: Iterable[Hashable]) -> None:
        """From now on `holder` is found under each of `keys`."""
        self._keys[holder] = tuple(keys)
        for key in self._keys[holder]:
            self._under[key][holder] = None
        slot = min(range(len(self._slots)), key=lambda number: len(self._slots[number]))
        self._slots[slot][holder] = None
        self._slot_of[holder] = slot

    def remove(self, holder: H) -> None:
        """It has gone; removing twice is removing once."""
        for key in self._keys.pop(holder, ()):
            del self._under[key][holder]
            if not self._under[key]:
                del self._under[key]
        slot = self._slot_of.pop(holder, None)
        if slot is not None:
            del self._slots[slot][holder]

    def under(self, key: Hashable) -> Collection[H]:
        """Those that were added under `key` and are still there."""
        return list(self._under[key]) if key in self._under else []

    def count_under(self, key: Hashable) -> int:
        """How many they are."""
        return len(self._under[key]) if key in self._under else 0

    async def keep_pinging(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        next_tick = loop.time()
        while True:
            self.tick()
            next_tick = max(next_tick + TICK_SECONDS, loop.time())
            await asyncio.sleep(next_tick - loop.time())

    def tick(self) -> None:
        """One second's turn: one slot is pinged, and the one that was a while ago must have answered."""
        count = len(self._slots)
        for holder in list(self._slots[(self._tick - self._pong_seconds) % count]):
            if holder.socket.is_silent:
                holder.socket.fail(POLICY, f"no answer to a ping within {self._pong_seconds} seconds")
        for holder in list(self._slots[self._tick % count]):
            holder.socket.ping()
        self._tick += 1
