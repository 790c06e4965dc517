"""Events on both sides of a service: those that come to it, and those that it has put into its outbox."""

from datetime import UTC, datetime
from uuid import UUID

from google.protobuf.message import Message as ProtobufMessage

from shared.db.database import Database
from shared.db.statements import every
from shared.events.bus import Message
from shared.events.envelope import Envelope, decode, encode, seal
from shared.ids import new_id
from shared.observability.tracing import begin_span


def arriving(contents: ProtobufMessage, source: str, subject: str, event_id: UUID | None = None) -> Message:
    """`contents` as they come from the bus, an event of `source` about `subject`."""
    envelope = seal(
        contents,
        event_id=event_id or new_id(),
        source=source,
        subject=subject,
        time=datetime.now(UTC),
        traceparent=begin_span(None).traceparent,
    )
    return Message(source, subject, encode(envelope), "somewhere")


async def in_the_outbox(database: Database) -> list[Envelope]:
    """By position."""
    rows = await every(database, "SELECT key, type, value FROM outbox ORDER BY position")
    envelopes = [decode(value) for *_, value in rows]
    assert [(each.partitionkey, each.type) for each in envelopes] == [(key, kind) for key, kind, _ in rows]
    return envelopes
