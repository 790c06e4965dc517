"""Talk that does not stop while things die: everybody says one thing after another, in each room in turn."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import count, cycle

from tests.e2e.talkers import Talker
from tests.waiting import eventually

PACE_SECONDS = 0.05  # between two posts of one talker, who may say far more


class Chatter:
    """What `talkers` say in their rooms. No two of one talker's messages are the same."""

    def __init__(self, talkers: Sequence[Talker], pace: float) -> None:
        """`pace` is the pause in seconds after each post."""
        self.talkers = talkers
        self._pace = pace
        self._is_over = False

    async def say(self, talker: Talker) -> None:
        """Until it is over."""
        rooms = cycle(talker.transcripts)
        for number in count(_posts(talker) + 1):
            if self._is_over:
                return
            await talker.say(next(rooms), f"This is my number {number}")
            await asyncio.sleep(self._pace)

    def over(self) -> None:
        """Whoever is at something says that to its end."""
        self._is_over = True

    async def goes_on(self, seconds: float) -> None:
        """Return when everybody has had one more answer, and has heard that of all others."""
        before = {talker: _posts(talker) for talker in self.talkers}
        await _soon(lambda talker: _posts(talker) > before[talker], self.talkers, seconds, "is answered")
        await self.is_heard(self.talkers, seconds)

    async def is_heard(self, listeners: Sequence[Talker], seconds: float) -> None:
        """Return when `listeners` have heard everything that has had an answer by now."""
        heads = {room_id: self.head(room_id) for each in self.talkers for room_id in each.transcripts}
        await _soon(lambda talker: _has_heard(talker, heads), listeners, seconds, f"has heard {heads}")

    def head(self, room_id: str) -> int:
        """The highest number in an answer."""
        answered = (line.seq for talker in self.talkers for line in talker.posted.get(room_id, [])[-1:])
        return max(answered, default=0)


def _posts(talker: Talker) -> int:
    return sum(map(len, talker.posted.values()))


def _has_heard(talker: Talker, heads: Mapping[str, int]) -> bool:
    """All of its rooms, that is."""
    return all((transcript.seen or 0) >= heads[room_id] for room_id, transcript in talker.transcripts.items())


async def _soon(
    is_so: Callable[[Talker], bool], talkers: Sequence[Talker], seconds: float, what: str
) -> None:
    """Return when it is so of all. AssertionError that says of whom it is not, after so many seconds."""
    try:
        await eventually(lambda: all(map(is_so, talkers)), seconds)
    except TimeoutError as late:
        others = [str(each) for each in talkers if not is_so(each)]
        raise AssertionError("\n".join([f"not everybody {what} within {seconds:g} s:", *others])) from late


@asynccontextmanager
async def chattering(*talkers: Talker, pace: float = PACE_SECONDS) -> AsyncIterator[Chatter]:
    """They chatter while the block runs, and then finish what they are saying."""
    chatter = Chatter(talkers, pace)
    async with asyncio.TaskGroup() as tasks:
        for each in talkers:
            tasks.create_task(chatter.say(each))
        try:
            yield chatter
        finally:
            chatter.over()
