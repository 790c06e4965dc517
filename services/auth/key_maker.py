"""Making signing keys, sealing them for the database, and opening them again."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import get_default_algorithms

from services.auth.domain.keys import StoredKey
from services.auth.sealing import KEY_BYTES, CannotUnseal, seal, unseal
from shared import base64url
from shared.config import ConfigError, Secret
from shared.runtime import NeedsOperator

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | Ed25519PrivateKey

RSA_BITS = 3072
ENCRYPTION_KEY_SETTING = "AUTH_KEY_ENCRYPTION_KEY"

GENERATE: dict[str, Callable[[], PrivateKey]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, RSA_BITS),
    "EdDSA": Ed25519PrivateKey.generate,
}
_THUMBPRINT_MEMBERS = ("crv", "e", "kty", "n", "x", "y")  # RFC 7638 section 3.2, RFC 8037 section 2


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key ready to sign with."""

    key_id: str
    algorithm: str
    private: PrivateKey = field(repr=False)


class SealingKeyMaker:
    """The domain's KeyMaker, of `algorithm`. All that it seals and opens is under `encryption_key`."""

    def __init__(self, encryption_key: bytes, algorithm: str) -> None:
        self._encryption_key = encryption_key
        self.algorithm = algorithm

    async def make(self, algorithm: str | None = None) -> StoredKey:
        """A fresh key, which signs at no time yet.

        In a thread, since an RSA key takes some 0.1 to 1 s of one core; the search for its primes lets go of
        the interpreter lock, so the event loop goes on.
        """
        return await asyncio.to_thread(self._make, algorithm or self.algorithm)

    def open(self, key: StoredKey) -> SigningKey:
        """The key to sign with. Raises NeedsOperator, which names the setting that is wrong."""
        try:
            der = unseal(self._encryption_key, key.sealed_private, key.key_id.encode())
        except CannotUnseal:
            raise NeedsOperator(f"{ENCRYPTION_KEY_SETTING} does not open signing key {key.key_id}") from None
        # The seal proves that we have made it; testing an RSA key's numbers once more would take 80 ms.
        private = load_der_private_key(der, None, unsafe_skip_rsa_key_validation=True)
        assert isinstance(private, PrivateKey)
        return SigningKey(key.key_id, key.algorithm, private)

    def _make(self, algorithm: str) -> StoredKey:
        private = GENERATE[algorithm]()
        jwk = _public_jwk(private, algorithm)
        key_id = thumbprint(jwk)
        der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        sealed = seal(self._encryption_key, der, key_id.encode())
        public_jwk = {**jwk, "kid": key_id, "use": "sig", "alg": algorithm}
        return StoredKey(key_id, algorithm, public_jwk, sealed)


def _public_jwk(private: PrivateKey, algorithm: str) -> dict[str, Any]:
    jwk = get_default_algorithms()[algorithm].to_jwk(private.public_key(), as_dict=True)
    return {name: jwk[name] for name in _THUMBPRINT_MEMBERS if name in jwk}


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
