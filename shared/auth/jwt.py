"""Tokens: a signed JWT in, its claims out, or a reason why not (RFC 7519, RFC 7515, RFC 8725, RFC 9068).

Pure: keys and time are passed in. The signature part and the claims part stand apart, and each can be tested
alone. Both are stricter than the common libraries' defaults, because what one checker tolerates, another one
reads differently:

- The token may not say how it wants to be checked. The key named by `kid` fixes the algorithm, which must
  be in the caller's allow-list too. `none` and symmetric algorithms exist nowhere here, and a header that
  brings or links a key of its own, or that wants an extension understood (`crit`, `b64`), is refused.
- There is one spelling of everything: canonical base64url, no member twice, numbers that are finite numbers.
- Claims that become header values towards the services can hold nothing that would break out of them.
"""

import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from shared import base64url
from shared.auth.jwk import FAULTS, KeySet
from shared.auth.strict_json import parse_object
from shared.context import Principal
from shared.errors import Unauthenticated

ACCESS_TOKEN = "at+jwt"  # noqa: S105 - RFC 9068 section 2.1
REFRESH_TOKEN = "refresh+jwt"  # noqa: S105

MAX_TOKEN_CHARACTERS = 8_192  # ours have about 700; a longer one is somebody's attempt to keep us busy
LEEWAY_SECONDS = 5.0  # how far the issuer's clock may be from ours
MAX_NUMERIC_DATE = 2.0**53  # beyond it, a float no longer counts seconds

_FORBIDDEN_HEADERS = ("crit", "b64", "jku", "jwk", "x5u", "x5c")
_CLAIMS = ("sub", "sid", "jti", "client_id", "iss", "aud", "iat", "nbf", "exp", "roles")
_TYPES = {kind: (kind, f"application/{kind}") for kind in (ACCESS_TOKEN, REFRESH_TOKEN)}
_IDENTIFIER = re.compile(r"[\x21-\x2b\x2d-\x7e]{1,255}")  # visible ASCII without the comma
_ROLE = re.compile(r"[A-Za-z0-9._-]{1,64}")


REASONS = (  # in the order in which a token is looked at
    *("too-long", "malformed", "forbidden-header", "no-key-id"),
    *("algorithm", "unknown-key", "ambiguous-key", *FAULTS, "signature", "wrong-type", "payload"),
    *(f"{what}-{claim}" for claim in _CLAIMS for what in ("missing", "bad")),
    *("issuer", "audience", "expired", "not-yet-valid", "issued-in-the-future"),
)


class TokenRefused(Unauthenticated):
    """The token proves nothing. `reason` is one of REASONS, fit for a metric's label."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"The token was refused: {reason}.", code="invalid-token")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token that was accepted says. Times are Unix seconds."""

    subject: str
    session_id: str
    token_id: str
    client_id: str
    key_id: str  # the header's `kid`, because a key can be revoked too
    issuer: str
    audience: tuple[str, ...]
    issued_at: float  # with milliseconds
    not_before: float
    expires: float
    roles: frozenset[str] = frozenset()

    @property
    def principal(self) -> Principal:
        """Who asks, in the words of the services."""
        return Principal(
            user_id=self.subject,
            session_id=self.session_id,
            token_id=self.token_id,
            token_expires=int(self.expires),
            roles=self.roles,
        )


@dataclass(frozen=True, slots=True)
class _Token:
    header: dict[str, Any]
    key_id: str
    payload: bytes
    signed: bytes
    signature: bytes


def key_id_of(token: str) -> str:
    """The `kid` that the token claims to be signed with, nothing checked; TokenRefused when it has none."""
    return _parse(token).key_id


def verify_signature(token: str, keys: KeySet, algorithms: Collection[str]) -> bytes:
    """The payload that the key named by the token has signed; TokenRefused otherwise.

    Says nothing about what the payload means, or whether it is still valid.
    """
    return _verified_payload(_parse(token), keys, algorithms)


def verify(
    token: str,
    keys: KeySet,
    *,
    now: float,
    issuer: str,
    audience: str,
    algorithms: Collection[str],
    kind: str = ACCESS_TOKEN,
    leeway: float = LEEWAY_SECONDS,
) -> Claims:
    """The claims of a token of `kind` made by `issuer` for `audience` and valid at `now` (Unix seconds).

    Raises TokenRefused. Whether the token has been revoked is another question.
    """
    parsed = _parse(token)
    payload = _verified_payload(parsed, keys, algorithms)
    if parsed.header.get("typ") not in _TYPES[kind]:
        raise TokenRefused("wrong-type")
    claims = _read_claims(payload, parsed.key_id, kind)
    _check_claims(claims, now, issuer, audience, leeway)
    return claims


# The signature part


def _parse(token: str) -> _Token:
    if len(token) > MAX_TOKEN_CHARACTERS:
        raise TokenRefused("too-long")
    parts = token.split(".")
    if len(parts) != 3 or not token.isascii():  # noqa: PLR2004 - header.payload.signature
        raise TokenRefused("malformed")
    try:
        raw_header, payload, signature = map(base64url.decode, parts)
        header = parse_object(raw_header)
    except ValueError as broken:
        raise TokenRefused("malformed") from broken
    if any(name in header for name in _FORBIDDEN_HEADERS):
        raise TokenRefused("forbidden-header")
    key_id = header.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise TokenRefused("no-key-id")
    signed = token.rpartition(".")[0].encode("ascii")
    return _Token(header, key_id, payload, signed, signature)


def _verified_payload(token: _Token, keys: KeySet, algorithms: Collection[str]) -> bytes:
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in algorithms:
        raise TokenRefused("algorithm")
    candidates = keys.named(token.key_id)
    if not candidates:
        raise TokenRefused("unknown-key")
    if len(candidates) > 1:
        raise TokenRefused("ambiguous-key")
    key = candidates[0]
    if key.fault:
        raise TokenRefused(key.fault)
    if key.algorithm != algorithm:
        raise TokenRefused("key-algorithm")
    if not key.verifies(token.signature, token.signed):
        raise TokenRefused("signature")
    return token.payload


# The claims part


def _read_claims(payload: bytes, key_id: str, kind: str) -> Claims:
    """From JSON to typed claims: every one there, each of its proper type."""
    try:
        document = parse_object(payload)
    except ValueError as broken:
        raise TokenRefused("payload") from broken
    return Claims(
        subject=_identifier(document, "sub"),
        session_id=_identifier(document, "sid"),
        token_id=_identifier(document, "jti"),
        client_id=_identifier(document, "client_id"),
        key_id=key_id,
        issuer=_issuer(document),
        audience=_audience(document),
        issued_at=_time(document, "iat"),
        not_before=_time(document, "nbf"),
        expires=_time(document, "exp"),
        roles=_roles(document) if kind == ACCESS_TOKEN else frozenset(),
    )


def _check_claims(claims: Claims, now: float, issuer: str, audience: str, leeway: float) -> None:
    if claims.issuer != issuer:
        raise TokenRefused("issuer")
    if audience not in claims.audience:
        raise TokenRefused("audience")
    if now >= claims.expires + leeway:  # RFC 7519 section 4.1.4: on or after
        raise TokenRefused("expired")
    if now < claims.not_before - leeway:
        raise TokenRefused("not-yet-valid")
    if now < claims.issued_at - leeway:
        raise TokenRefused("issued-in-the-future")


def _claim(document: dict[str, Any], name: str) -> Any:
    if name not in document:
        raise TokenRefused(f"missing-{name}")
    return document[name]


def _identifier(document: dict[str, Any], name: str) -> str:
    value = _claim(document, name)
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value):
        raise TokenRefused(f"bad-{name}")
    return value


def _time(document: dict[str, Any], name: str) -> float:
    value = _claim(document, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_NUMERIC_DATE or not math.isfinite(value):
        raise TokenRefused(f"bad-{name}")
    return float(value)


def _issuer(document: dict[str, Any]) -> str:
    issuer = _claim(document, "iss")
    if not isinstance(issuer, str):
        raise TokenRefused("bad-iss")
    return issuer


def _audience(document: dict[str, Any]) -> tuple[str, ...]:
    """One audience or a list of them (RFC 7519 section 4.1.3)."""
    value = _claim(document, "aud")
    audiences = value if isinstance(value, list) else [value]
    if not audiences or not all(isinstance(each, str) for each in audiences):
        raise TokenRefused("bad-aud")
    return tuple(audiences)


def _roles(document: dict[str, Any]) -> frozenset[str]:
    value = _claim(document, "roles")
    if not isinstance(value, list) or not all(_is_role(role) for role in value):
        raise TokenRefused("bad-roles")
    return frozenset(value)


def _is_role(value: object) -> bool:
    return isinstance(value, str) and _ROLE.fullmatch(value) is not None
