"""The order of a room's messages, as one gateway sees them, and each subscriber's place in it. Pure.

What comes over the bus may come twice, and after the bus was away something may be missing. A room passes on
each message once, in the order of their numbers; what came too early waits until the gap before it has been
filled from the chat service. A subscriber whose history is being fetched keeps what comes meanwhile, and then
drops what the history has had already. So everybody sees every number from their first one on, once.

`content` is what receivers get, whatever that is.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

MOST_DELETIONS = 1_000  # kept until the messages before a gap's end have been passed on
AT_ONCE = 50  # messages passed on in one go when a gap is filled: readers' queues are bounded
SENDS_AT_ONCE = 10_000  # all receivers' together: meanwhile nobody else has a turn
MOST_MEANWHILE = 1_000  # entries kept for one subscriber, while its history is fetched


@dataclass(frozen=True, slots=True)
class Posted:
    """A message with its number."""

    seq: int
    content: Any


@dataclass(frozen=True, slots=True)
class Deleted:
    """The message with that number was taken back."""

    seq: int
    content: Any


Entry = Posted | Deleted


class Subscription:
    """How much of a room one subscriber has been told: everything from its first message up to `seq`."""

    __slots__ = ("_meanwhile", "has_lost_track", "seq")

    def __init__(self) -> None:
        self.seq = 0
        self.has_lost_track = False  # more came, while the history was fetched, than is kept
        self._meanwhile: list[Entry] | None = []

    @property
    def is_live(self) -> bool:
        """Whether its history has been told."""
        return self._meanwhile is None

    def takes(self, entry: Entry) -> bool:
        """Whether `entry` is to be passed on to the subscriber now; it counts as told then."""
        if self._meanwhile is not None:
            self._keep(self._meanwhile, entry)
            return False
        return self._tells(entry)

    def catch_up(self, seq: int) -> list[Entry]:
        """It has been told everything up to `seq`: what is to be passed on of what came meanwhile."""
        meanwhile, self._meanwhile = self._meanwhile or [], None
        self.seq = seq
        return [entry for entry in meanwhile if entry.seq <= self.seq + 1 and self._tells(entry)]

    def _keep(self, meanwhile: list[Entry], entry: Entry) -> None:
        if len(meanwhile) < MOST_MEANWHILE:
            meanwhile.append(entry)
        else:
            self.has_lost_track = True

    def _tells(self, entry: Entry) -> bool:
        if isinstance(entry, Deleted):
            return entry.seq <= self.seq  # of a message that is still to come nothing is left already
        if entry.seq <= self.seq:
            return False
        self.seq = entry.seq
        return True


S = TypeVar("S")  # who subscribes


@dataclass(slots=True)
class Room(Generic[S]):
    """One room in which somebody here is.

    `seq` is the number up to which everything has been passed on, None until the first subscriber's history
    has told where that begins; `head` is the highest number that is known to exist.
    """

    subscriptions: dict[S, Subscription] = field(default_factory=dict)
    seq: int | None = None
    head: int = 0
    _early: dict[int, Posted] = field(default_factory=dict)
    _deletions: list[Deleted] = field(default_factory=list)  # of messages that have not been passed on

    @property
    def at_once(self) -> int:
        """How many messages may be passed on in one go; so many are kept beyond a gap."""
        return max(1, min(AT_ONCE, SENDS_AT_ONCE // max(1, len(self.subscriptions))))

    @property
    def is_behind(self) -> bool:
        """Whether messages are missing that must be fetched."""
        return self.seq is not None and self.seq < self.head

    def begin(self, seq: int) -> list[Entry]:
        """Somebody has been told everything up to `seq`: what is to be passed on now, if it begins here.

        Who was told less than others, because its answer took longer, has what it lacks fetched again.
        """
        if self.seq is None:
            self.head = max(seq, self.head)
            self._early = {number: entry for number, entry in self._early.items() if number > seq}
        self.seq = seq if self.seq is None else min(seq, self.seq)
        return self._advance(self.seq)

    def expect(self, head: int) -> None:
        """There is a message with that number, whether or not it comes."""
        self.head = max(self.head, head)

    def receive(self, entry: Entry) -> list[Entry]:
        """`entry` has come: what is to be passed on now."""
        if isinstance(entry, Posted):
            self._keep(entry)
        elif self.seq is not None and entry.seq <= self.seq:
            return [entry]
        elif len(self._deletions) < MOST_DELETIONS:
            self._deletions.append(entry)
        return [] if self.seq is None else self._advance(self.seq)

    def fill(self, messages: list[Posted], head: int) -> list[Entry]:
        """`messages` follow `seq`, and `head` is the newest there is: what is to be passed on now.

        Nothing at all, though something later has come, means that the numbers between are lost for good: a
        database was restored.
        """
        if messages:
            self.expect(head)  # which may be known to be higher by now
            return [entry for message in messages for entry in self.receive(message)]
        self.head = max([head, *self._early])
        return self._advance(min(self._early, default=self.head + 1) - 1) if self.is_behind else []

    def _keep(self, message: Posted) -> None:
        self.expect(message.seq)
        is_next = self.seq is not None and message.seq == self.seq + 1
        is_new = self.seq is None or message.seq > self.seq
        if is_next or (is_new and len(self._early) < self.at_once):
            self._early.setdefault(message.seq, message)

    def _advance(self, seq: int) -> list[Entry]:
        ready: list[Entry] = []
        while (message := self._early.pop(seq + 1, None)) is not None:
            ready.append(message)
            seq += 1
        self.seq = seq
        ripe = [deletion for deletion in self._deletions if deletion.seq <= seq]
        if ripe:
            self._deletions = [deletion for deletion in self._deletions if deletion.seq > seq]
        return ready + ripe
