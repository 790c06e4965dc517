"""What one client of one room has seen, and which of its own messages are unanswered. No socket, no clock.

Each method says what is to be done next, in order. The rules:

- A message is shown once, and in the order of the numbers, whoever has sent it how often. A number that was
  left out is missed: it is said, and the history is asked.
- A message of our own is under way alone, so none overtakes another. It keeps its key until it is answered,
  and is sent again after a reconnect: the key makes it one message.
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scripts.support.admin.text import shown

LATEST = 20  # messages shown to somebody who has seen none yet
PASSING = frozenset({"busy", "unavailable"})  # errors that go away by themselves
SHORT_ID = 8  # characters; the end of a UUIDv7, whose beginning is the time

Frame = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Say:
    """Show this line."""

    line: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send this frame."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Fill:
    """Show the messages after number `after`, up to `upto`, out of the history."""

    after: int
    upto: int


@dataclass(frozen=True, slots=True)
class Later:
    """Ask `again` after a while."""


@dataclass(frozen=True, slots=True)
class Leave:
    """There is nothing more to do here."""

    why: str


Step = Say | Send | Fill | Later | Leave


@dataclass(frozen=True, slots=True)
class _Post:
    key: str
    text: str


class Transcript:
    """The room, as `user_id` has seen it up to the message `seen`, if any. `prefix` makes keys ours alone."""

    def __init__(self, room_id: str, user_id: str, prefix: str, seen: int | None = None) -> None:
        self.seen = seen
        self.is_subscribed = False
        self._room_id = room_id
        self._prefix = prefix
        self._names = {user_id: "you"}
        self._unanswered: deque[_Post] = deque()  # the first one is under way, or is the next to be
        self._keys = 0
        self._frames = 0
        self._asked: int | None = None  # the id of the frame whose answer is awaited
        self._last_posted = 0  # our newest message that has a number
        self._is_new_here = True  # nobody has said yet who is here
        self._handlers: Mapping[str, Callable[[Frame], list[Step]]] = {
            "subscribed": self._subscribed,
            "unsubscribed": self._unsubscribed,
            "message": self._message,
            "deleted": self._deleted,
            "posted": self._posted,
            "error": self._refused,
            "presence": self._presence,
            "order": self._order,
        }

    @property
    def unanswered(self) -> Sequence[str]:
        """What was typed, and may not have been posted."""
        return [post.text for post in self._unanswered]

    @property
    def is_settled(self) -> bool:
        """Whether all that was typed has been posted, and seen to come back."""
        return self.is_subscribed and not self._unanswered and self._last_posted <= (self.seen or 0)

    def opened(self) -> list[Step]:
        """There is a new connection."""
        self.is_subscribed, self._is_new_here, self._asked = False, True, None
        return self.again()

    def again(self) -> list[Step]:
        """What has not been answered, once more; nothing while an answer is awaited."""
        if self.is_subscribed:
            return self._next_post()
        after = {} if self.seen is None else {"after": self.seen}
        return [self._ask({"type": "subscribe", "room": self._room_id, **after})]

    def typed(self, text: str) -> list[Step]:
        """A line of our own; a blank one is none."""
        if not text.strip():
            return []
        self._keys += 1
        self._unanswered.append(_Post(f"{self._prefix}-{self._keys}", text))
        return self._next_post() if self.is_subscribed else []

    def heard(self, message: str) -> list[Step]:
        """A frame has come; of a kind that we do not know, nothing. Raises ValueError when it is none."""
        try:
            return self._heard(json.loads(message))
        except (KeyError, TypeError, AttributeError) as wrong:
            raise ValueError(f"no frame of the contract: {wrong!r}") from wrong

    def read(self, messages: Iterable[Frame]) -> list[str]:
        """Lines of the history."""
        return [self._line(each) for each in messages]

    def _heard(self, frame: Frame) -> list[Step]:
        is_elsewhere = frame.get("room", self._room_id) != self._room_id
        handle = self._handlers.get(frame["type"])
        return [] if is_elsewhere or handle is None else handle(frame)

    # What has been said

    def _subscribed(self, frame: Frame) -> list[Step]:
        self.is_subscribed, self._asked = True, None
        seen, head = self.seen, int(frame["seq"])
        if seen is None:
            self.seen = head
            steps: list[Step] = [Fill(max(0, head - LATEST), head)] if head else []
        elif head < seen:
            self.seen = head
            steps = [
                Say(f"! message {seen} had been seen, and now the last one is {head}: some have been lost")
            ]
        else:
            steps = [step for each in frame["messages"] for step in self._message(each)] + self._fill(head)
        return [*steps, *self._next_post()]

    def _unsubscribed(self, frame: Frame) -> list[Step]:
        """By the gateway: we ask for no such thing."""
        return [Leave("you are no longer a member of this room")]

    def _message(self, frame: Frame) -> list[Step]:
        seq = int(frame["seq"])
        if self.seen is not None and seq <= self.seen:
            return []
        steps = self._fill(seq - 1)
        self.seen = seq
        return [*steps, Say(self._line(frame))]

    def _deleted(self, frame: Frame) -> list[Step]:
        return [Say(f"* message {frame['seq']} has been deleted")]

    def _fill(self, upto: int) -> list[Step]:
        """What has been missed before `upto` and including it."""
        seen = self.seen or 0
        if seen >= upto:
            return []
        self.seen = upto
        return [Say(f"! missed {upto - seen} messages; this is what the history says:"), Fill(seen, upto)]

    def _line(self, message: Frame) -> str:
        self._names.setdefault(message["user_id"], shown(message["display_name"]))
        text = "(deleted)" if message.get("deleted") else shown(message["text"])
        return f"[{message['seq']}] {shown(message['display_name'])}: {text}"

    # What we say

    def _ask(self, frame: Frame) -> Send:
        self._frames += 1
        self._asked = self._frames
        return Send({"id": self._asked, **frame})

    def _next_post(self) -> list[Step]:
        if self._asked is not None or not self._unanswered:
            return []
        post = self._unanswered[0]
        return [self._ask({"type": "post", "room": self._room_id, "key": post.key, "text": post.text})]

    def _posted(self, frame: Frame) -> list[Step]:
        if frame["id"] != self._asked:
            return []
        self._unanswered.popleft()
        self._asked, self._last_posted = None, int(frame["seq"])
        return self._next_post()

    def _refused(self, frame: Frame) -> list[Step]:
        why = shown(str(frame.get("detail") or frame["code"]))
        if self._asked is None or frame.get("id") != self._asked:
            return [Say(f"! {why}")]
        self._asked = None
        if frame["code"] in PASSING:
            return [Later()]
        if not self.is_subscribed:
            return [Leave(why)]
        text = self._unanswered.popleft().text
        return [Say(f"! not sent: {shown(text)}: {why}"), *self._next_post()]

    # What else happens

    def _presence(self, frame: Frame) -> list[Step]:
        joined, left = self._called(frame["joined"]), self._called(frame["left"])
        if self._is_new_here:
            self._is_new_here = False
            return [Say(f"* here: {', '.join(joined)}")] if joined else []
        come, gone = (", ".join(name for name in names if name != "you") for names in (joined, left))
        return [Say(f"* {who} {verb}") for who, verb in ((come, "came"), (gone, "left")) if who]

    def _called(self, user_ids: Iterable[str]) -> list[str]:
        """Their names, where they have said something; you come first."""
        names = [self._names.get(user_id, f"…{user_id[-SHORT_ID:]}") for user_id in user_ids]
        return sorted(names, key=lambda name: (name != "you", name))

    def _order(self, frame: Frame) -> list[Step]:
        reason = f" ({shown(frame['reason'])})" if frame.get("reason") else ""
        return [Say(f"* your order {shown(frame['order_id'])} is {shown(frame['status'])}{reason}")]
