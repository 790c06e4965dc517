"""The keys that sign tokens, shared by all auth servers through the database.

The private part is stored encrypted; the public part is published as a JWK Set. A key goes through three
times: it is published, it signs, and after that it is published until its last token has expired. Which key
may do what at a moment is told by its row alone, so every auth server agrees; of those that may sign, the
newest of the configured algorithm does.

A key of that algorithm which will be missing in PUBLISHED_AHEAD is made now, under a lock: by the time it
signs, every verifier has fetched it. Only where no key at all may sign, the new one does at once.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import get_default_algorithms

from services.auth.sealing import KEY_BYTES, CannotUnseal, seal, unseal
from shared import base64url
from shared.auth.jwk import KeySet
from shared.auth.jwks import LIFETIME_SECONDS
from shared.config import ConfigError, Secret
from shared.errors import Unavailable

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey

RSA_BITS = 3072
# Longer than any verifier keeps the JWK Set. The slack is for the auth servers beside us, which read the keys
# every few seconds, and for a fetch that fails once.
PUBLISHED_AHEAD = timedelta(seconds=LIFETIME_SECONDS + 60)
RETRY_AFTER_SECONDS = 1.0  # the keys are read again sooner
ENCRYPTION_KEY_SETTING = "AUTH_KEY_ENCRYPTION_KEY"

GENERATE: dict[str, Callable[[], PrivateKey]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "EdDSA": Ed25519PrivateKey.generate,
}
_THUMBPRINT_MEMBERS = ("crv", "e", "kty", "n", "x", "y")  # RFC 7638 section 3.2, RFC 8037 section 2

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database holds it."""

    key_id: str
    algorithm: str
    public_jwk: dict[str, Any]
    sealed_private: bytes = field(repr=False)
    signs_from: datetime
    signs_until: datetime | None = None

    def signs_at(self, now: datetime) -> bool:
        """Whether new tokens may be signed with it."""
        return self.signs_from <= now and (self.signs_until is None or now < self.signs_until)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key ready to sign with."""

    key_id: str
    algorithm: str
    private: PrivateKey = field(repr=False)


class KeyRepository(Protocol):
    """Where keys are kept. Every method raises Unavailable while that cannot be reached."""

    def locked(self) -> AbstractAsyncContextManager[object]:
        """A unit of work that no other auth server is in at the same time."""

    async def published_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """Every key that is to be published, and the time."""

    async def add_key(self, key: StoredKey) -> None:
        """A new key."""


class KeyRing:
    """The keys of the moment. `algorithm` is the one to sign with, as soon as there is a key for it."""

    def __init__(self, repository: KeyRepository, encryption_key: bytes, algorithm: str) -> None:
        self._repository = repository
        self._encryption_key = encryption_key
        self._algorithm = algorithm
        self._signing: SigningKey | None = None
        self._trouble = "the signing keys have not been read yet"
        self._published = KeySet()
        self._jwks = b""

    @property
    def signing(self) -> SigningKey:
        """The key to sign with now. Raises Unavailable before `load` has succeeded."""
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

    async def load(self) -> None:
        """Read the keys, making the one that is missing. Raises Unavailable."""
        keys, now = await self._repository.published_keys()
        self._take(keys, now)  # first of all: who cannot open the keys that there are shall make none
        if self._missing_from(keys, now) is not None:
            self._take(*await self._make_missing())

    async def check(self) -> None:
        """For Readiness: raises Unavailable, which says why, while there is no key to sign with."""
        if self._signing is None:
            raise Unavailable(self._trouble)

    def _missing_from(self, keys: Sequence[StoredKey], now: datetime) -> datetime | None:
        """From when on a key is missing; None when none is."""
        if not any(key.signs_at(now) for key in keys):
            return now
        later = now + PUBLISHED_AHEAD
        is_provided = any(key.algorithm == self._algorithm and key.signs_at(later) for key in keys)
        return None if is_provided else later

    async def _make_missing(self) -> tuple[Sequence[StoredKey], datetime]:
        async with self._repository.locked():
            keys, now = await self._repository.published_keys()
            signs_from = self._missing_from(keys, now)
            if signs_from is None:
                return keys, now  # another auth server was faster
            made = await asyncio.to_thread(make_key, self._algorithm, self._encryption_key, signs_from)
            await self._repository.add_key(made)
        _log.info(
            "signing key made",
            extra={"key_id": made.key_id, "algorithm": made.algorithm, "signs_from": signs_from},
        )
        return [*keys, made], now

    def _take(self, keys: Sequence[StoredKey], now: datetime) -> None:
        """Sign and verify with `keys` from now on."""
        if not keys:
            return
        jwks = json.dumps({"keys": [key.public_jwk for key in keys]}, sort_keys=True).encode()
        self._choose(keys, now)
        if jwks != self._jwks:
            self._jwks, self._published = jwks, KeySet.from_json(jwks)

    def _choose(self, keys: Sequence[StoredKey], now: datetime) -> None:
        able = [key for key in keys if key.signs_at(now)]
        newest = max(able, key=lambda key: (key.algorithm == self._algorithm, key.signs_from), default=None)
        if newest is None or (self._signing is not None and self._signing.key_id == newest.key_id):
            return
        try:
            private = load_der_private_key(
                unseal(self._encryption_key, newest.sealed_private, newest.key_id.encode()), None
            )
        except CannotUnseal:
            self._trouble = f"{ENCRYPTION_KEY_SETTING} does not open signing key {newest.key_id}"
            raise Unavailable(self._trouble) from None
        assert isinstance(private, PrivateKey)
        self._signing = SigningKey(newest.key_id, newest.algorithm, private)


def make_key(algorithm: str, encryption_key: bytes, signs_from: datetime) -> StoredKey:
    """A fresh key."""
    private = GENERATE[algorithm]()
    jwk = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    jwk = {name: jwk[name] for name in _THUMBPRINT_MEMBERS if name in jwk}
    key_id = thumbprint(jwk)
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public_jwk = {**jwk, "kid": key_id, "use": "sig", "alg": algorithm}
    return StoredKey(key_id, algorithm, public_jwk, seal(encryption_key, der, key_id.encode()), signs_from)


def thumbprint(jwk: dict[str, Any]) -> str:
    """The JWK's name that nobody has to hand out (RFC 7638 section 3)."""
    required = {name: jwk[name] for name in _THUMBPRINT_MEMBERS if name in jwk}
    canonical = json.dumps(required, separators=(",", ":"), sort_keys=True)
    return base64url.encode(hashlib.sha256(canonical.encode()).digest())


def read_encryption_key(secret: Secret) -> bytes:
    """The key that seals the private keys. ConfigError unless it is 32 bytes in base64url."""
    try:
        key = base64url.decode(secret.value.rstrip("="))  # with or without padding
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(ENCRYPTION_KEY_SETTING, f"must be {KEY_BYTES} bytes in base64url")
    return key
