"""Revocations: what is said of a token that ended before its time, and the list that refuses it (pure).

A revocation names one of four things, and every token that carries it is refused:

    sid   a session: logout, password change, reuse of a refresh token
    jti   one token: RFC 7009
    user  an account: lock, change of roles; only tokens that were issued up to then
    kid   a signing key that has leaked

It lives until the last token concerned has expired by itself, and a little longer, because clocks differ.
"""

import heapq
import math
import re
from dataclasses import dataclass
from enum import StrEnum

from shared.auth.jwt import Claims

PREFIX = "revoked:"  # of the store's keys: revoked:sid:…, revoked:jti:…, revoked:user:…, revoked:kid:…
FOR_EVER_MS = 2**62


class Kind(StrEnum):
    """What a revocation names."""

    SESSION = "sid"
    TOKEN = "jti"  # noqa: S105
    USER = "user"
    KEY = "kid"


_KINDS = frozenset(Kind)
_MILLISECONDS = re.compile(r"[0-9]{1,16}")


@dataclass(frozen=True, slots=True)
class Revocation:
    """`kind` and `name` are refused from `at_ms` until `expires_ms` (both Unix milliseconds).

    For a user, `at_ms` is the cut-off: tokens issued later are good.
    """

    kind: Kind
    name: str
    at_ms: int
    expires_ms: float = math.inf

    @property
    def key(self) -> str:
        """Its key in the store."""
        return f"{PREFIX}{self.kind}:{self.name}"

    @classmethod
    def from_entry(cls, key: str, value: str, expires_ms: float) -> "Revocation | None":
        """What a key and value of the store say; None when the key is of no kind we know.

        A value that is no time counts as "for ever": whoever wrote it meant to refuse something.
        """
        kind, _, name = key.removeprefix(PREFIX).partition(":")
        if kind not in _KINDS or not name:
            return None
        at_ms = int(value) if _MILLISECONDS.fullmatch(value) else FOR_EVER_MS
        return cls(Kind(kind), name, at_ms, expires_ms)


class RevocationList:
    """Revocations in memory: added one by one, gone by their own expiry, looked up at every request."""

    def __init__(self) -> None:
        self._at: dict[Kind, dict[str, int]] = {kind: {} for kind in Kind}
        self._sessions = self._at[Kind.SESSION]
        self._tokens = self._at[Kind.TOKEN]
        self._users = self._at[Kind.USER]
        self._keys = self._at[Kind.KEY]
        self._expires: dict[tuple[Kind, str], float] = {}
        self._queue: list[
            tuple[float, Kind, str]
        ] = []  # a heap; entries that were prolonged stand in it twice

    def __len__(self) -> int:
        return len(self._expires)

    def add(self, revocation: Revocation) -> bool:
        """Refuse from now on. Adding again may only make a revocation stricter or longer.

        True when it was not known: neither the name, nor for a user so late a cut-off.
        """
        kind, name = revocation.kind, revocation.name
        entries = self._at[kind]
        known = entries.get(name)
        entries[name] = revocation.at_ms if known is None else max(revocation.at_ms, known)
        if revocation.expires_ms > self._expires.get((kind, name), 0):
            self._expires[kind, name] = revocation.expires_ms
            heapq.heappush(self._queue, (revocation.expires_ms, kind, name))
        return known is None or (kind is Kind.USER and revocation.at_ms > known)

    def refuses(self, claims: Claims) -> bool:
        """Whether the token, its session, its signing key or its user's earlier tokens are revoked."""
        if (
            claims.session_id in self._sessions
            or claims.token_id in self._tokens
            or claims.key_id in self._keys
        ):
            return True
        cut_off = self._users.get(claims.subject)
        return cut_off is not None and round(claims.issued_at * 1000) <= cut_off

    def refuses_key(self, key_id: str) -> bool:
        """Whether everything that this key has signed is revoked."""
        return key_id in self._keys

    def drop_expired(self, now_ms: float) -> None:
        """Forget what no living token can carry any more."""
        while self._queue and self._queue[0][0] <= now_ms:
            _, kind, name = heapq.heappop(self._queue)
            if self._expires.get((kind, name), math.inf) <= now_ms:
                del self._expires[kind, name]
                del self._at[kind][name]
