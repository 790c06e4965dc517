"""At every moment a key to sign with.

A missing key is made by whoever notices, under a lock. It signs when every verifier has fetched it; only
where no key at all may sign, it does at once.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.keys import KeyMaker, KeyRepository, KeyTimes, KnownKeys, StoredKey, missing_from

_log = logging.getLogger(__name__)


class KeySupply:
    """Makes the key that is missing."""

    def __init__(
        self, known: KnownKeys, repository: KeyRepository, maker: KeyMaker, audit: AuditLog, times: KeyTimes
    ) -> None:
        self._known = known
        self._repository = repository
        self._maker = maker
        self._audit = audit
        self._times = times

    async def ensure(self) -> None:
        """Know the keys as they are now, with the one that was missing. Raises Unavailable."""
        await self._known.catch_up()  # first of all: who cannot open the keys that there are shall make none
        if self._known.is_one_missing:
            await self._make_missing()
            await self._known.catch_up()

    async def _make_missing(self) -> None:
        made = await self._maker.make()  # outside the lock, because it may take a while
        async with self._repository.locked():
            keys, now = await self._repository.published_keys()
            signs_from = missing_from(keys, self._maker.algorithm, now, self._times)
            if signs_from is not None:  # no other auth server was faster
                await add_key(self._repository, self._audit, replace(made, signs_from=signs_from), "missing")


async def add_key(
    repository: KeyRepository, audit: AuditLog, key: StoredKey, why: str, retires: Sequence[StoredKey] = ()
) -> None:
    """A new key, in the caller's unit of work; `why`, and which others it retires, is for the audit table."""
    await repository.add_key(key)
    details = {
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "signs_from": key.signs_from.isoformat(),
        "why": why,
    }
    if retires:
        details["retires"] = " ".join(each.key_id for each in retires)
    await audit.write(AuditEntry(Event.KEY_MADE, details=details))
    _log.info("signing key made", extra=details)
