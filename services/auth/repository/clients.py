"""Clients in PostgreSQL. A removed one stays, so that the audit table's entries keep their meaning."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from services.auth.domain.clients import Client
from shared.db.database import Database
from shared.db.statements import every, execute, one
from shared.ids import parse_id

_ADD = "INSERT INTO clients (client_id, name, secret_digest) VALUES (%s, %s, %s)"
_FIND = """
    SELECT client_id, name, created_at, secret_digest
    FROM clients WHERE client_id = %s AND removed_at IS NULL"""
_LIST = """
    SELECT client_id, name, created_at FROM clients WHERE removed_at IS NULL ORDER BY created_at, client_id"""
_REMOVE = "UPDATE clients SET removed_at = clock_timestamp() WHERE client_id = %s AND removed_at IS NULL"


class PostgresClientRepository:
    """The domain's ClientRepository."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def add_client(self, client_id: str, name: str, digest: bytes) -> None:
        """Its creation is timed by the database."""
        await execute(self._database, _ADD, (client_id, name, digest))

    async def find_client(self, client_id: str) -> tuple[Client, bytes] | None:
        """By primary key. What is no id of ours may be text that PostgreSQL cannot even hold."""
        if parse_id(client_id) is None:
            return None
        row = await one(self._database, _FIND, [client_id])
        return None if row is None else (Client(*row[:-1]), row[-1])

    async def list_clients(self) -> Sequence[Client]:
        """Those that may ask."""
        return [Client(*row) for row in await every(self._database, _LIST)]

    async def remove_client(self, client_id: str) -> bool:
        """Once: a second time finds nothing."""
        if parse_id(client_id) is None:
            return False
        return await execute(self._database, _REMOVE, [client_id]) == 1
