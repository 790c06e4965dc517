"""Who may ask about tokens."""

import secrets
from collections.abc import Sequence

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.clients import (
    CLIENT_RULES,
    CLIENT_SECRET_BYTES,
    Client,
    ClientCredentials,
    ClientRefused,
    ClientRepository,
    is_secret,
    secret_digest,
)
from shared.errors import NotFound
from shared.ids import new_id
from shared.rules import check
from shared.text import tidy_name


class ClientService:
    """Clients with a secret. Besides what each says, all raise Unavailable while what they need does."""

    def __init__(self, repository: ClientRepository, audit: AuditLog) -> None:
        self._repository = repository
        self._audit = audit

    async def add(self, name: str) -> ClientCredentials:
        """A new client; nobody can learn its secret later. Raises Invalid."""
        check([("name", name)], CLIENT_RULES)
        credentials = ClientCredentials(str(new_id()), secrets.token_urlsafe(CLIENT_SECRET_BYTES))
        client_id, name = credentials.client_id, tidy_name(name)
        async with self._repository.unit_of_work():
            await self._repository.add_client(client_id, name, secret_digest(credentials.client_secret))
            details = {"client_id": client_id, "name": name}
            await self._audit.write(AuditEntry(Event.CLIENT_ADDED, details=details))
        return credentials

    async def clients(self) -> Sequence[Client]:
        """Every client there is, oldest first."""
        return await self._repository.list_clients()

    async def remove(self, client_id: str) -> None:
        """Refuse a client from now on. Raises NotFound."""
        async with self._repository.unit_of_work():
            if not await self._repository.remove_client(client_id):
                raise NotFound("There is no such client.")
            await self._audit.write(AuditEntry(Event.CLIENT_REMOVED, details={"client_id": client_id}))

    async def authenticate(self, presented: ClientCredentials) -> Client:
        """The client that proves to be the one it says. Raises ClientRefused.

        The database is asked every time, so that a client that was removed is refused at once.
        """
        found = await self._repository.find_client(presented.client_id)
        is_right = is_secret(presented.client_secret, found[1] if found is not None else None)
        if found is None or not is_right:
            raise ClientRefused
        return found[0]
