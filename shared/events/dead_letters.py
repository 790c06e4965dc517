"""Events that cannot have their effect, kept with the reason until somebody decides (dead letter channel)."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.db.database import Database
from shared.db.statements import every, execute, one
from shared.duties import Duty
from shared.events.bus import Message
from shared.observability import metrics

UPKEEP_SECONDS = 5.0
MOST_CHARACTERS = 4_000  # of a text; the octets of the message are kept whole

_PARK = """
    INSERT INTO dead_letters (consumer, letter_id, topic, key, place, value, error, attempts)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING"""
_IS_PARKED = "SELECT 1 FROM dead_letters WHERE consumer = %s AND letter_id = %s"
_SELECT = """
    SELECT letter_id, topic, key, place, value, error, attempts, parked_at
    FROM dead_letters WHERE consumer = %s"""
_ALL = _SELECT + " ORDER BY parked_at, letter_id"
_ONE = _SELECT + " AND letter_id = %s"
_REMOVE = "DELETE FROM dead_letters WHERE consumer = %s AND letter_id = %s"
_COUNT = "SELECT count(*) FROM dead_letters WHERE consumer = %s"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message, why it could not be taken in, and since when it lies here.

    `letter_id` is the event's identifier, or made from the octets of what is no event.
    """

    letter_id: UUID
    message: Message
    error: str
    attempts: int
    parked_at: datetime


class DeadLetters:
    """The dead letters of one consumer, a table in its own database. All raise Unavailable."""

    def __init__(self, database: Database, consumer: str) -> None:
        self._database = database
        self._consumer = consumer
        self._count = 0

    async def park(self, letter_id: UUID, message: Message, error: str, attempts: int) -> None:
        """Keep `message`; if it lies here already, as it is."""
        texts = map(_storable, (message.topic, message.key, message.place))
        values = [self._consumer, letter_id, *texts, message.value, _storable(error), attempts]
        await execute(self._database, _PARK, values)

    async def has(self, letter_id: UUID) -> bool:
        """Whether it lies here."""
        return await one(self._database, _IS_PARKED, [self._consumer, letter_id]) is not None

    async def every(self) -> list[DeadLetter]:
        """All that lie here, the longest first."""
        return [_letter(*row) for row in await every(self._database, _ALL, [self._consumer])]

    async def count(self) -> int:
        """How many lie here."""
        row = await one(self._database, _COUNT, [self._consumer])
        return row[0] if row else 0

    async def get(self, letter_id: UUID) -> DeadLetter | None:
        """One of them."""
        row = await one(self._database, _ONE, [self._consumer, letter_id])
        return None if row is None else _letter(*row)

    async def remove(self, letter_id: UUID) -> None:
        """It has been dealt with."""
        await execute(self._database, _REMOVE, [self._consumer, letter_id])

    def upkeep(self) -> Duty:
        """Know how many there are."""
        metrics.expose(metrics.DEAD_LETTERS)
        metrics.DEAD_LETTERS.labels(self._consumer).set_function(lambda: self._count)

        async def count() -> None:
            self._count = await self.count()

        return Duty("dead letters", count, UPKEEP_SECONDS)


def _storable(text: str) -> str:
    """Without what PostgreSQL refuses: if `text` found no place here, all behind it would wait for ever."""
    return text.encode(errors="replace").decode().replace("\x00", "\ufffd")[:MOST_CHARACTERS]


def _letter(
    letter_id: UUID,
    topic: str,
    key: str,
    place: str,
    value: bytes,
    error: str,
    attempts: int,
    parked_at: datetime,
) -> DeadLetter:
    return DeadLetter(letter_id, Message(topic, key, value, place), error, attempts, parked_at)
