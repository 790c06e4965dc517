"""Verification keys: from a JWK Set (RFC 7517, RFC 7518 section 6, RFC 8037) to parsed key objects.

A key is parsed once, when the set arrives, and fixes the single algorithm that it verifies. A key that is
no good (too weak, meant for encryption, of a kind we do not know) stays in the set with the reason, so that
its `kid` can neither be used nor be taken by another key; the others go on working (RFC 7517 section 5).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from shared import base64url
from shared.auth.strict_json import parse_object

MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS = 8192  # a longer one would only be slow
MAX_RSA_EXPONENT_BITS = 64
COORDINATE_BYTES = 32  # of P-256; its signatures are two of these (RFC 7518 section 3.4)

Check = Callable[[bytes, bytes], None]  # (signature, signed bytes); raises InvalidSignature


class UnusableKey(ValueError):
    """A JWK that no signature may be checked with; the message is one of FAULTS."""


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """One key of a set, for one algorithm; `fault` says why it cannot be used, empty for a good one."""

    key_id: str
    algorithm: str
    check: Check | None
    fault: str = ""

    def verifies(self, signature: bytes, signed: bytes) -> bool:
        """Whether this key has signed `signed`; always false for a key with a fault."""
        if self.check is None:
            return False
        try:
            self.check(signature, signed)
        except InvalidSignature:
            return False
        return True


class KeySet:
    """Verification keys by their id."""

    def __init__(self, keys: Iterable[VerificationKey] = ()) -> None:
        self._by_id: dict[str, list[VerificationKey]] = {}
        for key in keys:
            self._by_id.setdefault(key.key_id, []).append(key)

    @classmethod
    def from_json(cls, document: bytes) -> "KeySet":
        """The set that a JWK Set document describes; ValueError when it is none."""
        keys = parse_object(document).get("keys")
        if not isinstance(keys, list):
            raise ValueError("a JWK Set has an array `keys`")
        return cls(parse_key(key) for key in keys if _has_id(key))

    def named(self, key_id: str) -> list[VerificationKey]:
        """Every key of that id: one, in a set that is in order."""
        return self._by_id.get(key_id, [])

    def __contains__(self, key_id: object) -> bool:
        return key_id in self._by_id

    def __len__(self) -> int:
        return len(self._by_id)

    def __repr__(self) -> str:
        return f"KeySet({', '.join(self._by_id)})"


def parse_key(jwk: Mapping[str, Any]) -> VerificationKey:
    """One JWK. A key that cannot be used is returned with its fault; nothing is raised."""
    key_id = jwk["kid"]
    try:
        _check_purpose(jwk)
        algorithm, check = _parse_material(jwk)
        if jwk.get("alg", algorithm) != algorithm:
            raise UnusableKey("key-algorithm")
    except UnusableKey as unusable:
        return VerificationKey(key_id, "", None, str(unusable))
    return VerificationKey(key_id, algorithm, check)


def _has_id(key: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(key, dict) and isinstance(key.get("kid"), str)


def _check_purpose(jwk: Mapping[str, Any]) -> None:
    if "d" in jwk or "k" in jwk:  # whoever publishes a private key has lost it
        raise UnusableKey("key-not-public")
    if jwk.get("use", "sig") != "sig":
        raise UnusableKey("key-use")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKey("key-operations")


def _parse_material(jwk: Mapping[str, Any]) -> tuple[str, Check]:
    parse = _PARSERS.get((jwk.get("kty"), jwk.get("crv"))) if _is_hashable_kind(jwk) else None
    if parse is None:
        raise UnusableKey("key-type")
    try:
        return parse(jwk)
    except UnusableKey:
        raise
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm) as broken:
        raise UnusableKey("key-malformed") from broken


def _is_hashable_kind(jwk: Mapping[str, Any]) -> bool:
    return isinstance(jwk.get("kty"), str) and isinstance(jwk.get("crv"), str | None)


def _parse_p256(jwk: Mapping[str, Any]) -> tuple[str, Check]:
    x, y = (base64url.decode(jwk[name]) for name in ("x", "y"))
    if len(x) != COORDINATE_BYTES or len(y) != COORDINATE_BYTES:
        raise UnusableKey("key-malformed")
    numbers = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ec.SECP256R1())
    key = numbers.public_key()  # ValueError for a point that is not on the curve
    algorithm = ec.ECDSA(SHA256())

    def check(signature: bytes, signed: bytes) -> None:
        if len(signature) != 2 * COORDINATE_BYTES:
            raise InvalidSignature
        r, s = signature[:COORDINATE_BYTES], signature[COORDINATE_BYTES:]
        key.verify(encode_dss_signature(int.from_bytes(r), int.from_bytes(s)), signed, algorithm)

    return "ES256", check


def _parse_rsa(jwk: Mapping[str, Any]) -> tuple[str, Check]:
    modulus, exponent = (int.from_bytes(base64url.decode(jwk[name])) for name in ("n", "e"))
    if modulus.bit_length() < MIN_RSA_BITS:
        raise UnusableKey("key-too-weak")
    if modulus.bit_length() > MAX_RSA_BITS or exponent.bit_length() > MAX_RSA_EXPONENT_BITS:
        raise UnusableKey("key-too-long")
    key = rsa.RSAPublicNumbers(exponent, modulus).public_key()

    def check(signature: bytes, signed: bytes) -> None:
        key.verify(signature, signed, padding.PKCS1v15(), SHA256())

    return "RS256", check


def _parse_ed25519(jwk: Mapping[str, Any]) -> tuple[str, Check]:
    key = Ed25519PublicKey.from_public_bytes(base64url.decode(jwk["x"]))
    return "EdDSA", key.verify


_PARSERS: dict[tuple[Any, Any], Callable[[Mapping[str, Any]], tuple[str, Check]]] = {
    ("EC", "P-256"): _parse_p256,
    ("RSA", None): _parse_rsa,
    ("OKP", "Ed25519"): _parse_ed25519,
}
ALGORITHMS = ("ES256", "RS256", "EdDSA")
FAULTS = (
    "key-not-public",
    "key-use",
    "key-operations",
    "key-type",
    "key-malformed",
    "key-too-weak",
    "key-too-long",
    "key-algorithm",
)
