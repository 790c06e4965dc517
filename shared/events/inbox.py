"""Which events have had their effect: of a thousand deliveries one counts (the idempotent consumer).

The row is the first statement of the effect's own transaction. Of several that have the same event in hand,
after a redelivery or because an owner was only asleep, all but the first wait for it and then find it done.
"""

from datetime import timedelta
from uuid import UUID

from shared.db.database import Database
from shared.db.statements import execute
from shared.duties import Duty

KEPT = timedelta(days=8)  # longer than any bus of ours keeps an event; versions guard against what is older
CLEANED_AT_ONCE = 5_000  # rows
UPKEEP_SECONDS = 60.0

_RECORD = "INSERT INTO inbox (consumer, event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_CLEAN = """
    DELETE FROM inbox WHERE (consumer, event_id) IN (
        SELECT consumer, event_id FROM inbox WHERE received_at < now() - %s ORDER BY received_at LIMIT %s)"""


class Inbox:
    """The inbox of one consumer, a table in its own database."""

    def __init__(self, database: Database, consumer: str) -> None:
        self._database = database
        self._consumer = consumer

    async def is_new(self, event_id: UUID) -> bool:
        """Whether the event has had no effect yet; once the transaction is committed it has."""
        return await execute(self._database, _RECORD, [self._consumer, event_id]) == 1

    def upkeep(self) -> Duty:
        """Forget what came long ago."""

        async def keep() -> None:
            while await execute(self._database, _CLEAN, [KEPT, CLEANED_AT_ONCE]) == CLEANED_AT_ONCE:
                pass

        return Duty("inbox", keep, UPKEEP_SECONDS)
