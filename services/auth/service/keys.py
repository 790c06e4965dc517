"""The operator's part in the life of signing keys."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.keys import (
    KeyMaker,
    KeyRepository,
    KeyState,
    KeyTimes,
    StoredKey,
    algorithm_in_use,
    retired_by_rotation,
    succession,
)
from services.auth.domain.revocations import Revocations
from services.auth.service.key_supply import add_key
from shared.errors import Conflict, NotFound, Unavailable


@dataclass(frozen=True, slots=True)
class KeyList:
    """Every key, in the order in which they sign, and the time at which it was so."""

    keys: Sequence[StoredKey]
    now: datetime


class KeyService:
    """Listing, rotating, revoking. All raise Unavailable while what they need does."""

    def __init__(
        self,
        repository: KeyRepository,
        maker: KeyMaker,
        audit: AuditLog,
        revocations: Revocations,
        times: KeyTimes,
    ) -> None:
        self._repository = repository
        self._maker = maker
        self._audit = audit
        self._revocations = revocations
        self._times = times

    async def keys(self) -> KeyList:
        """What there is."""
        return KeyList(*await self._repository.all_keys())

    async def rotate(self, algorithm: str | None = None, *, at_once: bool = False) -> StoredKey:
        """A new key. The others retire when it signs: `at_once`, or else when every verifier has it.

        It is of `algorithm`, or else of the one in use. Raises Conflict when the keys that there are were
        sealed by somebody with another setting.
        """
        made = await self._make(algorithm)
        async with self._repository.locked():
            keys, now = await self._repository.all_keys()
            new = replace(made, signs_from=now if at_once else now + self._times.ahead)
            retired = retired_by_rotation(keys, new.signs_from, self._times)
            for key in retired:
                await self._repository.set_times(key)
            await self._add(new, "rotation", keys, now, retired)
        return new

    async def revoke(self, key_id: str) -> KeyState:
        """Refuse all that the key has signed or will sign; another key takes over if need be.

        Returns, with what the key was before, when no gateway that is up to date takes its tokens any more.
        Raises NotFound; Conflict when it was revoked before, or as `rotate` does.
        """
        made = await self._make()  # in case that nothing else may sign
        async with self._repository.locked():
            keys, now = await self._repository.all_keys()
            revoked = _unrevoked(keys, key_id)
            follows = succession(keys, revoked, now, self._times)
            for key in follows.changed:
                await self._repository.set_times(key)
            if follows.new_from is not None:
                others = [key for key in keys if key is not revoked]
                await self._add(replace(made, signs_from=follows.new_from), "revocation", others, now)
            was = revoked.state_at(now)
            revocations = await self._repository.revoke_tokens_of(key_id)
            details = {"key_id": key_id, "was": was.value}
            await self._audit.write(AuditEntry(Event.KEY_REVOKED, details=details))
        await self._revocations.publish(revocations)
        return was

    async def _make(self, algorithm: str | None = None) -> StoredKey:
        """Outside the lock, because it may take a while."""
        return await self._maker.make(algorithm or algorithm_in_use(*await self._repository.all_keys()))

    async def _add(
        self,
        new: StoredKey,
        why: str,
        beside: Sequence[StoredKey],
        now: datetime,
        retired: Sequence[StoredKey] = (),
    ) -> None:
        """Who cannot open the keys `beside` it would seal one that the auth servers cannot open."""
        for key in beside:
            if key.revoked_at is None and key.signs_until_at_last > now:
                self._check(key)
        await add_key(self._repository, self._audit, new, why, retired)

    def _check(self, key: StoredKey) -> None:
        try:
            self._maker.open(key)
        except Unavailable as sealed:
            raise Conflict(f"No key was made: {sealed.detail}") from sealed


def _unrevoked(keys: Sequence[StoredKey], key_id: str) -> StoredKey:
    found = next((key for key in keys if key.key_id == key_id), None)
    if found is None:
        raise NotFound("There is no signing key of this id.")
    if found.revoked_at is not None:
        raise Conflict(f"This key was revoked already, at {found.revoked_at:%Y-%m-%d %H:%M:%S} UTC.")
    return found
