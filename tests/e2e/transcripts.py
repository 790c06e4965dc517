"""What somebody heard in a room, to be compared with what the chat service's database says was said there."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

import psycopg

from shared.config import Environment

_SAID = "SELECT seq, user_id::text, text FROM messages WHERE room_id = %s ORDER BY seq"
_SHOWN_FAULTS = 3


@dataclass(frozen=True, slots=True)
class Line:
    """One message. Without text, it was taken back."""

    seq: int
    user_id: str
    text: str


@dataclass(slots=True)
class Transcript:
    """All that came to one listener from one room, exactly as it came, whatever was lost and found meanwhile.

    It begins after the number `after`; None until the first subscription has told where that is.
    """

    after: int | None = 0
    lines: list[Line] = field(default_factory=list)

    @property
    def seen(self) -> int | None:
        """The number after which the next one must come."""
        return self.lines[-1].seq if self.lines else self.after


def said(environment: Environment, room_id: str) -> list[Line]:
    """Everything, by the chat service's database."""
    with psycopg.connect(environment.database_url("chat").value) as connection:
        return [Line(*row) for row in connection.execute(_SAID, [room_id])]


def faults(transcript: Transcript, said: Sequence[Line]) -> list[str]:
    """The first few differences: from its beginning on nothing may be missing, come twice, or too early."""
    expected = said[transcript.after or 0 :]
    pairs = zip_longest(transcript.lines, expected)
    found = (f"heard {heard}, said was {true}" for heard, true in pairs if not _is_same(heard, true))
    return [fault for fault, _ in zip(found, range(_SHOWN_FAULTS), strict=False)]


def unkept(posted: Iterable[Line], said: Sequence[Line]) -> list[str]:
    """What was promised to have been said, and was not, or not under that number."""
    kept = {line.seq: line for line in said}
    return [
        f"posted {line}, kept is {kept.get(line.seq)}"
        for line in posted
        if not _is_same(line, kept.get(line.seq))
    ]


def repeated(said: Iterable[Line]) -> list[str]:
    """What somebody has said more than once, in a room where nobody says the same twice."""
    counts = Counter((line.user_id, line.text) for line in said if line.text)
    return [
        f"{user_id} said {text!r} {count} times" for (user_id, text), count in counts.items() if count > 1
    ]


def _is_same(heard: Line | None, true: Line | None) -> bool:
    """What was taken back since is not there any more, but may have been heard."""
    if heard is None or true is None:
        return False
    return heard == true or (not true.text and (heard.seq, heard.user_id) == (true.seq, true.user_id))
