"""Signed identity headers: how one process tells another who is asking.

The gateway checks the token once; behind it no service holds token code. It trusts these headers instead,
because nobody but the gateway has the key that signs them:

    X-Identity-Signature: 1:gateway:k1:1767225600000:rM2…        version, caller, key id, time (ms), MAC

The MAC is HMAC-SHA256 (RFC 2104) over all of that, the callee, the request id, the method, the exact target
and every identity header. Each item is preceded by its length, so that no byte can move from one item to the
next. An absent header counts as an empty one. An anonymous request is signed too: "nobody" is a statement.

There is one key for each pair of caller and callee, so that a service that has been broken into cannot speak
for somebody else to another service. A key's text is `id:base64url[,id:base64url…]`: the first signs, all
verify, which lets an operator rotate it without a gap; a key without an id is called FIRST_KEY_ID.

The body is not covered, and a captured head can be sent again for MAX_AGE_MS; between hosts, TLS has to keep
strangers off the wire.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from shared import base64url
from shared.config import ConfigError, Secret, identity_key_setting
from shared.context import Principal
from shared.errors import Unauthenticated
from shared.http.messages import Fields, Headers

VERSION = "1"
SIGNATURE_HEADER = "X-Identity-Signature"
IDENTITY_HEADERS = (
    "X-Authenticated-User-ID",
    "X-Authenticated-Session-ID",
    "X-Authenticated-Token-ID",
    "X-Authenticated-Token-Expires",
    "X-Authenticated-Roles",
    "X-Authenticated-Client-Address",
)
RESERVED_PREFIXES = ("x-authenticated-", "x-identity-")  # in lower case; nobody but a signer may send these

MAX_AGE_MS = 30_000  # covers a slow connect and hosts' clocks that differ, little more
FIRST_KEY_ID = "k1"
MIN_KEY_BYTES = 32  # as long as the hash (RFC 2104 section 3)
REMEMBERED_STATEMENTS = 4096  # about 1 kB each; putting one together costs as much as the MAC

_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SIGNATURE = re.compile(
    rf"{VERSION}:(?P<caller>[a-z_]{{1,32}}):(?P<key_id>[A-Za-z0-9._-]{{1,32}})"
    r":(?P<time>[0-9]{1,15}):(?P<mac>[A-Za-z0-9_-]{43})"
)
_ROLE = re.compile(r"[A-Za-z0-9._-]+")
_SIGNED_NAMES = tuple(name.lower() for name in IDENTITY_HEADERS)
_KNOWN_NAMES = frozenset({*_SIGNED_NAMES, SIGNATURE_HEADER.lower(), "x-request-id"})


class IdentityRefused(Unauthenticated):
    """The identity headers are not what a caller of ours has signed.

    The client is told no more than that; `reason` is for the operator's log.
    """

    def __init__(self, reason: str) -> None:
        super().__init__("The request does not come from a caller that this service knows.")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Key:
    key_id: str
    secret: Secret

    @property
    def octets(self) -> bytes:
        return _decode(self.secret.value)


class IdentitySigner:
    """Signs what `caller` says to `callee`; `key` is the text that both share."""

    def __init__(self, caller: str, callee: str, key: Secret) -> None:
        first = _parse_keys(caller, callee, key)[0]
        self._stamp = f"{VERSION}:{caller}:{first.key_id}:"
        self._begun = hmac.new(first.octets, _prefix(caller, first.key_id, callee), "sha256")

    def sign(self, request_id: str, method: str, target: str, principal: Principal, now_ms: int) -> Fields:
        """The headers to add to a request that carries `request_id` as X-Request-ID.

        `target` is exactly what will be sent; `now_ms` is Unix time in milliseconds.
        """
        time = str(now_ms)
        fields, statement = _statement(principal)
        # What _measured does, written out: this runs at every request of the gateway.
        asked = f"{len(request_id)}:{request_id}{len(method)}:{method}{len(target)}:{target}"
        mac = _mac(self._begun, f"{len(time)}:{time}{asked}{statement}")
        return [*fields, (SIGNATURE_HEADER, f"{self._stamp}{time}:{mac}")]


class IdentityVerifier:
    """Checks what others say to `callee`; `keys` maps each caller's name to the text shared with it."""

    def __init__(self, callee: str, keys: Mapping[str, Secret]) -> None:
        self._begun = {
            (caller, key.key_id): hmac.new(key.octets, _prefix(caller, key.key_id, callee), "sha256")
            for caller, text in keys.items()
            for key in _parse_keys(caller, callee, text)
        }

    def verify(self, method: str, target: str, headers: Headers, now_ms: int) -> Principal:
        """Who asks, or IdentityRefused. `now_ms` is Unix time in milliseconds."""
        _refuse_ambiguous(headers)
        signature = _SIGNATURE.fullmatch(headers.get("x-identity-signature") or "")
        if signature is None:
            raise IdentityRefused("no well-formed signature")
        begun = self._begun.get((signature["caller"], signature["key_id"]))
        if begun is None:
            raise IdentityRefused("unknown caller or key")
        if abs(now_ms - int(signature["time"])) > MAX_AGE_MS:
            raise IdentityRefused("too old, or the hosts' clocks differ")
        values = [headers.get(name) or "" for name in _SIGNED_NAMES]
        request_id = headers.get("x-request-id") or ""
        if not all(map(str.isascii, [request_id, target, *values])):
            raise IdentityRefused("a character that no caller of ours would send")
        mac = _mac(begun, _measured(signature["time"], request_id, method, target, *values))
        if not hmac.compare_digest(mac, signature["mac"]):
            raise IdentityRefused("wrong signature")
        return _principal(values)


def signed_by(headers: Headers) -> str:
    """The caller that the signature names; empty without one. Believe it only after `verify`."""
    signature = _SIGNATURE.fullmatch(headers.get("x-identity-signature") or "")
    return signature["caller"] if signature else ""


@lru_cache(maxsize=REMEMBERED_STATEMENTS)
def _statement(principal: Principal) -> tuple[tuple[tuple[str, str], ...], str]:
    """What is the same in all requests of `principal`: its headers, and its part of the message."""
    values = _values(principal)
    fields = tuple((name, value) for name, value in zip(IDENTITY_HEADERS, values, strict=True) if value)
    return fields, _measured(*values)


def _values(principal: Principal) -> list[str]:
    """The values of IDENTITY_HEADERS, in their order."""
    expires = principal.token_expires
    return [
        principal.user_id,
        principal.session_id,
        principal.token_id,
        str(expires) if expires else "",
        _join_roles(principal.roles),
        principal.client_address,
    ]


def _join_roles(roles: frozenset[str]) -> str:
    if not all(_ROLE.fullmatch(role) for role in roles):
        raise ValueError("a role's name has a character that the header cannot carry")
    return ",".join(sorted(roles))


def _principal(values: list[str]) -> Principal:
    user_id, session_id, token_id, expires, roles, client_address = values
    return Principal(
        user_id=user_id,
        session_id=session_id,
        token_id=token_id,
        token_expires=int(expires or 0),
        roles=frozenset(roles.split(",")) if roles else frozenset(),
        client_address=client_address,
    )


def _prefix(caller: str, key_id: str, callee: str) -> bytes:
    """What is the same in every message of one pair under one key."""
    return _measured(VERSION, caller, key_id, callee).encode("ascii")


def _measured(*items: str) -> str:
    """`items`, each preceded by its length."""
    return "".join([f"{len(item)}:{item}" for item in items])


def _mac(begun: hmac.HMAC, message: str) -> str:
    """The MAC of what `begun` has been fed already and `message`."""
    mac = begun.copy()
    mac.update(message.encode("latin-1"))
    return base64url.encode(mac.digest())


def _refuse_ambiguous(headers: Headers) -> None:
    """Two headers of one name have no clear meaning, a reserved one that is not signed has none."""
    lowered = [name.lower() for name, _ in headers.fields]
    names = [name for name in lowered if name.startswith(RESERVED_PREFIXES) or name == "x-request-id"]
    if len(set(names)) != len(names):
        raise IdentityRefused("a repeated header")
    if not _KNOWN_NAMES.issuperset(names):
        raise IdentityRefused("a reserved header that is not signed")


def _parse_keys(caller: str, callee: str, text: Secret) -> list[_Key]:
    """The keys of one pair, the one that signs first; ConfigError when the text is not as described above."""
    setting = identity_key_setting(caller, callee)
    keys = []
    for item in text.value.split(","):
        key_id, has_id, encoded = item.strip().rpartition(":")
        key_id = key_id if has_id else FIRST_KEY_ID
        if not _KEY_ID.fullmatch(key_id) or not _is_strong(encoded):
            raise ConfigError(setting, f"must be id:base64url[,…] with {MIN_KEY_BYTES} bytes or more")
        keys.append(_Key(key_id, Secret(encoded)))
    if len({key.key_id for key in keys}) != len(keys):
        raise ConfigError(setting, "names one key id twice")
    return keys


def _is_strong(encoded: str) -> bool:
    try:
        return len(_decode(encoded)) >= MIN_KEY_BYTES
    except ValueError:
        return False


def _decode(encoded: str) -> bytes:
    return base64url.decode(encoded.rstrip("="))  # with or without padding
