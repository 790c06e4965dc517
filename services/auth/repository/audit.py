"""The audit table in PostgreSQL: a trigger of the database keeps it append-only."""

from collections.abc import Sequence
from uuid import UUID

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from services.auth.domain.audit import Actor, AuditEntry, AuditRow, Event
from shared import context
from shared.db.database import Database
from shared.db.statements import every, execute

_WRITE = """
    INSERT INTO audit (event, actor, user_id, session_id, address, request_id, details)
    VALUES (%s, %s, %s, %s, %s, %s, %s)"""
_READ = """
    SELECT audit_id, at, actor, address, request_id, coalesce(email, ''), event, user_id, session_id, details
    FROM audit LEFT JOIN users USING (user_id)
    WHERE (%(user_id)s::uuid IS NULL OR user_id = %(user_id)s)
    AND (%(event)s::text IS NULL OR event = %(event)s)
    AND (%(address)s::text IS NULL OR address = %(address)s)
    ORDER BY audit_id DESC LIMIT %(limit)s"""


class PostgresAuditLog:
    """The domain's AuditLog. `actor` is who acts where no request is being answered."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self._database = database
        self._actor = actor

    async def write(self, entry: AuditEntry) -> None:
        """Request and address come from the context, as in log lines. The details name the operator."""
        request_id, address = context.request_id.get(), context.principal.get().client_address
        actor = Actor("client") if request_id else self._actor
        whom = (entry.user_id, entry.session_id)
        details = {**entry.details, "by": actor.name} if actor.name else dict(entry.details)
        values = (entry.event.value, actor.kind, *whom, address, request_id, Jsonb(details))
        await execute(self._database, _WRITE, values)

    async def read(
        self,
        *,
        user_id: UUID | None = None,
        event: Event | None = None,
        address: str | None = None,
        limit: int = 100,
    ) -> Sequence[AuditRow]:
        """By primary key, or by the index of a user's entries."""
        values = {"user_id": user_id, "event": event and event.value, "address": address, "limit": limit}
        return [_row(row) for row in reversed(await every(self._database, _READ, values))]


def _row(row: TupleRow) -> AuditRow:
    audit_id, at, actor, address, request_id, email, event, user_id, session_id, details = row
    entry = AuditEntry(Event(event), user_id, session_id, details)
    return AuditRow(audit_id, at, actor, address, request_id, email, entry)
