"""A bounded queue in which nobody can push everybody else aside: each lane in turn gets one.

Who waits stands in a lane. When the queue is full, the longest lane gives up its last; so a lane alone may
fill the whole queue, and two share it (fair queueing, RFC 970).
"""

from collections import OrderedDict, deque
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Of at most `capacity` items."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._lanes: OrderedDict[str, deque[T]] = OrderedDict()  # the first one is next; none is empty

    def __len__(self) -> int:
        return sum(map(len, self._lanes.values()))

    def push(self, lane: str, item: T) -> T | None:
        """Put `item` at the end of its lane; returns what has to leave for it, which may be itself."""
        self._lanes.setdefault(lane, deque()).append(item)
        if len(self) <= self._capacity:
            return None
        longest = max(self._lanes, key=lambda name: (len(self._lanes[name]), name == lane))
        left = self._lanes[longest].pop()
        self._drop_if_empty(longest)
        return left

    def pop(self) -> T | None:
        """The first of the next lane; None when nothing waits."""
        if not self._lanes:
            return None
        lane = next(iter(self._lanes))
        item = self._lanes[lane].popleft()
        self._lanes.move_to_end(lane)
        self._drop_if_empty(lane)
        return item

    def discard(self, lane: str, item: T) -> None:
        """`item` waits no longer, if it did."""
        with suppress(KeyError, ValueError):
            self._lanes[lane].remove(item)
            self._drop_if_empty(lane)

    def _drop_if_empty(self, lane: str) -> None:
        if not self._lanes[lane]:
            del self._lanes[lane]
