"""From the database to the store, until it is there.

Whoever revokes waits for the store (`publish`). What could not be sent, or was lost with the store, is sent
by `spread`, which is done several times a second and first looks whether the store still has everything.
"""

import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

from services.auth.domain.revocations import Revocation
from services.auth.unix_time import milliseconds
from shared.auth import revocation_list
from shared.auth.jwt import LEEWAY_SECONDS
from shared.auth.revocation_store import RevocationStore
from shared.errors import Unavailable

# How much longer a revocation lives than the last token concerned: hosts' clocks differ, and forgetting late
# costs nothing.
REVOCATION_SLACK = timedelta(seconds=LEEWAY_SECONDS + 60)

_log = logging.getLogger(__name__)


class RevocationRepository(Protocol):
    """Where revocations are kept for good. Every method raises Unavailable while that cannot be reached."""

    async def unexpired(self) -> Sequence[Revocation]:
        """Everything that a gateway must refuse."""

    async def unsent(self) -> Sequence[Revocation]:
        """What the store has not acknowledged; a bounded number, oldest first."""

    async def mark_stored(self, revocations: Sequence[Revocation]) -> None:
        """The store has these."""


class RevocationSpreader:
    """The domain's Revocations."""

    def __init__(self, repository: RevocationRepository, store: RevocationStore) -> None:
        self._repository = repository
        self._store = store

    async def publish(self, revocations: Sequence[Revocation]) -> None:
        """Returns when the store has acknowledged them. Raises Unavailable."""
        if not revocations:
            return
        await self._store.write([_entry(revocation) for revocation in revocations])
        try:
            await self._repository.mark_stored(revocations)
        except Unavailable:
            _log.info("revocations will be sent once more")  # which does no harm

    async def spread(self) -> None:
        """Fill an empty store, and send what was not sent. Raises Unavailable."""
        if not await self._store.is_complete() and await self._store.restore(self._everything):
            _log.info("the store was empty or restarted; all revocations have been written again")
        await self.publish(await self._repository.unsent())

    async def _everything(self) -> Sequence[revocation_list.Revocation]:
        return [_entry(revocation) for revocation in await self._repository.unexpired()]


def _entry(revocation: Revocation) -> revocation_list.Revocation:
    return revocation_list.Revocation(
        kind=revocation_list.Kind(revocation.kind),
        name=revocation.name,
        at_ms=milliseconds(revocation.revoked_at),
        expires_ms=milliseconds(revocation.expires_at),
    )
