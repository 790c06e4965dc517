"""The keys of the moment: what an auth server signs with, and what it publishes.

They stand in the database, which all auth servers share; the rules are in `domain.keys`. Whoever is about to
sign or to read a token first calls `catch_up`. So a key that was revoked signs no more, and a key that
another auth server has just begun to sign with is known, however little time has passed.
"""

import json
import logging
from collections.abc import Sequence
from datetime import timedelta

from services.auth.domain.keys import KeyRepository, KeyTimes, StoredKey, missing_from, signing_key
from services.auth.key_maker import SealingKeyMaker, SigningKey
from shared.auth.jwk import KeySet
from shared.auth.jwks import LIFETIME_SECONDS
from shared.errors import Unavailable
from shared.single_flight import SingleFlight

# Longer than any verifier keeps the JWK Set. The slack is for a fetch that fails once.
PUBLISHED_AHEAD = timedelta(seconds=LIFETIME_SECONDS + 60)
RETRY_AFTER_SECONDS = 1.0  # the keys are read again sooner

_log = logging.getLogger(__name__)


class KeyRing:
    """What there is to sign and to verify with; the domain's KnownKeys.

    `maker` says which algorithm to sign with, once it can.
    """

    def __init__(self, repository: KeyRepository, maker: SealingKeyMaker, times: KeyTimes) -> None:
        self._repository = repository
        self._maker = maker
        self._times = times
        self._signing: SigningKey | None = None
        self._trouble = Unavailable("the signing keys have not been read yet")
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

    @property
    def is_one_missing(self) -> bool:
        """Whether one was missing when the keys were read last."""
        return self._is_missing

    async def catch_up(self) -> None:
        """Know the keys as they are in the database now. Raises Unavailable.

        Do not call it in a unit of work: all who do would hold connections and wait for one more.
        """
        await self._read_once()

    async def check(self) -> None:
        """For Readiness: raises Unavailable, which says why, while there is no key to sign with."""
        if self._signing is None:
            raise self._trouble.with_traceback(None)

    async def _read(self) -> None:
        keys, now = await self._repository.published_keys()
        self._is_missing = missing_from(keys, self._maker.algorithm, now, self._times) is not None
        self._publish(keys)
        self._choose(signing_key(keys, self._maker.algorithm, now))

    def _publish(self, keys: Sequence[StoredKey]) -> None:
        public_jwks = [key.public_jwk for key in keys]
        jwks = json.dumps({"keys": public_jwks}, sort_keys=True).encode() if keys else b""
        if jwks != self._jwks:
            self._jwks, self._published = jwks, KeySet.from_json(jwks) if jwks else KeySet()

    def _choose(self, key: StoredKey | None) -> None:
        if key is not None and self._signing is not None and self._signing.key_id == key.key_id:
            return
        self._signing, self._trouble = None, Unavailable("there is no key that may sign")
        if key is None:
            return
        try:
            self._signing = self._maker.open(key)
            _log.info("signing with another key", extra={"key_id": key.key_id, "algorithm": key.algorithm})
        except Unavailable as sealed:
            self._trouble = sealed
            raise
