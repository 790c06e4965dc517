"""The keys of the moment: what an auth server signs with, and what it publishes.

They stand in the database, which all auth servers share; the rules are in `domain.keys`. Whoever is about to
sign or to read a token first calls `catch_up`. So a key that was revoked signs no more, and a key that
another auth server has just begun to sign with is known, however little time has passed.

A missing key is made by whoever notices, under a lock. It signs when every verifier has fetched it; only
where no key at all may sign, it does at once.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from services.auth.domain.audit import AuditEntry, AuditLog, Event
from services.auth.domain.keys import KeyRepository, KeyTimes, StoredKey, missing_from, signing_key
from services.auth.key_maker import KeyMaker, SigningKey
from services.auth.single_flight import SingleFlight
from shared.auth.jwk import KeySet
from shared.auth.jwks import LIFETIME_SECONDS
from shared.errors import Unavailable

# Longer than any verifier keeps the JWK Set. The slack is for a fetch that fails once.
PUBLISHED_AHEAD = timedelta(seconds=LIFETIME_SECONDS + 60)
RETRY_AFTER_SECONDS = 1.0  # the keys are read again sooner

_log = logging.getLogger(__name__)


class KeyRing:
    """What there is to sign and to verify with. `maker` says which algorithm to sign with, once it can."""

    def __init__(self, repository: KeyRepository, maker: KeyMaker, audit: AuditLog, times: KeyTimes) -> None:
        self._repository = repository
        self._maker = maker
        self._audit = audit
        self._times = times
        self._signing: SigningKey | None = None
        self._trouble = "the signing keys have not been read yet"
        self._is_missing = False
        self._published = KeySet()
        self._jwks = b""
        self._read_once = SingleFlight(self._read, "read signing keys")

    @property
    def signing(self) -> SigningKey:
        """The key to sign with now. Raises Unavailable while there is none."""
        if self._signing is None:
            raise Unavailable("Tokens cannot be signed at the moment.", retry_after=RETRY_AFTER_SECONDS)
        return self._signing

    @property
    def published(self) -> KeySet:
        """The keys to verify with. Raises Unavailable likewise: without keys, good tokens look bad."""
        if not self._jwks:
            raise Unavailable("Tokens cannot be checked at the moment.", retry_after=RETRY_AFTER_SECONDS)
        return self._published

    @property
    def jwks(self) -> bytes:
        """The same as a JWK Set document. Raises Unavailable likewise."""
        if not self._jwks:
            raise Unavailable("The keys are not known yet.", retry_after=RETRY_AFTER_SECONDS)
        return self._jwks

    async def catch_up(self) -> None:
        """Know the keys as they are in the database now. Raises Unavailable.

        Do not call it in a unit of work: all who do would hold connections and wait for one more.
        """
        await self._read_once()

    async def load(self) -> None:
        """Catch up, and make the key that is missing. Raises Unavailable."""
        await self.catch_up()  # first of all: who cannot open the keys that there are shall make none
        if self._is_missing:
            await self._make_missing()
            await self.catch_up()

    async def check(self) -> None:
        """For Readiness: raises Unavailable, which says why, while there is no key to sign with."""
        if self._signing is None:
            raise Unavailable(self._trouble)

    async def _make_missing(self) -> None:
        made = await self._maker.make()  # outside the lock, because it may take a while
        async with self._repository.locked():
            keys, now = await self._repository.published_keys()
            signs_from = missing_from(keys, self._maker.algorithm, now, self._times)
            if signs_from is not None:  # no other auth server was faster
                await add_key(self._repository, self._audit, replace(made, signs_from=signs_from), "missing")

    async def _read(self) -> None:
        keys, now = await self._repository.published_keys()
        self._is_missing = missing_from(keys, self._maker.algorithm, now, self._times) is not None
        self._publish(keys)
        self._choose(signing_key(keys, self._maker.algorithm, now))

    def _publish(self, keys: Sequence[StoredKey]) -> None:
        jwks = (
            json.dumps({"keys": [key.public_jwk for key in keys]}, sort_keys=True).encode() if keys else b""
        )
        if jwks != self._jwks:
            self._jwks, self._published = jwks, KeySet.from_json(jwks) if jwks else KeySet()

    def _choose(self, key: StoredKey | None) -> None:
        if key is not None and self._signing is not None and self._signing.key_id == key.key_id:
            return
        self._signing, self._trouble = None, "there is no key that may sign"
        if key is None:
            return
        try:
            self._signing = self._maker.open(key)
        except Unavailable as sealed:
            self._trouble = sealed.detail
            raise


async def add_key(repository: KeyRepository, audit: AuditLog, key: StoredKey, why: str) -> None:
    """A new key, in the caller's unit of work; `why` is for the audit table."""
    await repository.add_key(key)
    details = {
        "key_id": key.key_id,
        "algorithm": key.algorithm,
        "signs_from": key.signs_from.isoformat(),
        "why": why,
    }
    await audit.write(AuditEntry(Event.KEY_MADE, details=details))
    _log.info("signing key made", extra=details)
