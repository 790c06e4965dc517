"""When a signing key may do what, and how one key follows another.

A key is published first, so that every verifier has it by the time it signs; then it signs; then it stays
published until the last token that it has signed has expired. Which of these it may do at a moment is told by
its times alone, so every auth server comes to the same answer from the same rows. A revoked key may nothing.
A key that gives way before it has signed anything is published no longer than until then.

One thing holds whatever the operator does, and in whatever order: at every moment there is a key that may
sign. So a rotation retires the old keys at the moment from which the new one signs, and a revocation
lets another key take over: one that is announced already, for verifiers know it, or else a new one.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol

from services.auth.domain.revocations import Revocation

NEVER = datetime.max.replace(tzinfo=UTC)


class KeyState(StrEnum):
    """Where a key is in its life."""

    ANNOUNCED = "announced"
    SIGNING = "signing"
    RETIRING = "retiring"
    RETIRED = "retired"
    SUPERSEDED = "superseded"  # gave way before it signed anything
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """How long a key is published before it signs, and how long after it has signed for the last time."""

    ahead: timedelta
    behind: timedelta


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as the database holds it. A fresh one signs at no time yet; None stands for "not foreseen"."""

    key_id: str
    algorithm: str
    public_jwk: dict[str, Any] = field(repr=False)
    sealed_private: bytes = field(repr=False)
    signs_from: datetime = NEVER
    signs_until: datetime | None = None
    published_until: datetime | None = None
    revoked_at: datetime | None = None

    @property
    def signs_until_at_last(self) -> datetime:
        """As `signs_until`, to be compared."""
        return self.signs_until or NEVER

    @property
    def ever_signs(self) -> bool:
        """False once it is revoked, and when it had to give way before its time came."""
        return self.revoked_at is None and self.signs_from < self.signs_until_at_last

    def signs_at(self, now: datetime) -> bool:
        """Whether new tokens may be signed with it."""
        return self.revoked_at is None and self.signs_from <= now < self.signs_until_at_last

    def state_at(self, now: datetime) -> KeyState:
        """Where it is in its life."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        if self.signs_until is not None and not self.ever_signs:
            return KeyState.SUPERSEDED
        if now >= (self.published_until or NEVER):
            return KeyState.RETIRED
        if now >= self.signs_until_at_last:
            return KeyState.RETIRING
        return KeyState.ANNOUNCED if now < self.signs_from else KeyState.SIGNING

    def retired_at(self, moment: datetime, times: KeyTimes) -> "StoredKey":
        """The same key, which stops signing then, and stays published only for what it has signed."""
        retired = replace(self, signs_until=moment)
        published_until = moment + times.behind if retired.ever_signs else moment
        return replace(retired, published_until=published_until)


# Decisions. Each takes the keys and the time under one lock, and says how the keys are to be afterwards.


def signing_key(keys: Iterable[StoredKey], algorithm: str, now: datetime) -> StoredKey | None:
    """The one to sign with: the newest that may, of `algorithm` if there is one."""
    able = (key for key in keys if key.signs_at(now))
    return max(able, key=lambda key: (key.algorithm == algorithm, key.signs_from), default=None)


def algorithm_in_use(keys: Iterable[StoredKey], now: datetime) -> str | None:
    """Of the newest key that signs or will sign; None while there is none."""
    able = (key for key in keys if key.ever_signs and key.signs_until_at_last > now)
    newest = max(able, key=lambda key: key.signs_from, default=None)
    return None if newest is None else newest.algorithm


def missing_from(
    keys: Sequence[StoredKey], algorithm: str, now: datetime, times: KeyTimes
) -> datetime | None:
    """From when on there is no key to sign with that every verifier knows; None when there is one.

    Making it retires no other key: auth servers that are set to different algorithms, as during a change of
    it, would otherwise retire each other's keys for ever.
    """
    last = _last_in_line(keys, now)
    if last is None:
        return now
    later = now + times.ahead
    if any(key.algorithm == algorithm and key.signs_at(later) for key in keys):
        return None
    return min(later, last.signs_until_at_last)  # rather unknown to some verifiers than none at all


def retired_by_rotation(
    keys: Iterable[StoredKey], signs_from: datetime, times: KeyTimes
) -> Sequence[StoredKey]:
    """The keys that give way to a new one which signs from `signs_from`: all that could sign beside it."""
    return [
        key.retired_at(signs_from, times)
        for key in keys
        if key.revoked_at is None and key.signs_until_at_last > signs_from
    ]


@dataclass(frozen=True, slots=True)
class Succession:
    """The keys that change, and when a new one is to sign from, if one is needed."""

    changed: Sequence[StoredKey]
    new_from: datetime | None = None


def succession(keys: Iterable[StoredKey], revoked: StoredKey, now: datetime, times: KeyTimes) -> Succession:
    """How it goes on without `revoked`, which is one of `keys`.

    Where no key signs now, the next one does at once; and where the line would break later, the key before
    the gap goes on until the one behind it signs.
    """
    gone = replace(revoked, revoked_at=now)
    before = {key.key_id: key for key in keys if key.ever_signs and key.key_id != revoked.key_id}
    after = dict(before)
    if not any(key.signs_at(now) for key in after.values()):
        first = _first_after(after.values(), now)
        if first is None:
            return Succession([gone], new_from=now)
        after[first.key_id] = replace(first, signs_from=now)
    new_from = None
    last = _last_in_line(list(after.values()), now)
    if last is not None and last.signs_until is not None:
        following = _first_after(after.values(), last.signs_until)
        if following is None:
            new_from = next_from = max(last.signs_until, now + times.ahead)
        else:
            next_from = following.signs_from
        after[last.key_id] = last.retired_at(next_from, times)
    changed = [key for key in after.values() if key != before[key.key_id]]
    return Succession([gone, *changed], new_from)


def _last_in_line(keys: Sequence[StoredKey], now: datetime) -> StoredKey | None:
    """The key at the end of an unbroken line of keys that sign, from now on; None when none signs now."""
    last, moment = None, now
    while following := [key for key in keys if key.signs_at(moment)]:
        last = max(following, key=lambda key: key.signs_until_at_last)
        moment = last.signs_until_at_last
    return last


def _first_after(keys: Iterable[StoredKey], moment: datetime) -> StoredKey | None:
    """The next key to sign after a moment at which none does."""
    later = (key for key in keys if key.signs_from > moment)
    return min(later, key=lambda key: key.signs_from, default=None)


# What the use cases need


class KeyRepository(Protocol):
    """Where keys are kept. Every method raises Unavailable while that cannot be reached."""

    def locked(self) -> AbstractAsyncContextManager[object]:
        """A unit of work that nobody else is in at the same time."""

    async def published_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """Every key that is to be published, and the time."""

    async def all_keys(self) -> tuple[Sequence[StoredKey], datetime]:
        """Every key there has ever been, and the time."""

    async def add_key(self, key: StoredKey) -> None:
        """A new key."""

    async def set_times(self, key: StoredKey) -> None:
        """The times of a key that is there."""

    async def revoke_tokens_of(self, key_id: str) -> Sequence[Revocation]:
        """No token that the key has signed is good any more."""


class KeyMaker(Protocol):
    """Makes keys, and opens them all."""

    @property
    def algorithm(self) -> str:
        """Of the keys that it makes, unless told otherwise."""

    async def make(self, algorithm: str | None = None) -> StoredKey:
        """A fresh key, which signs at no time yet."""

    def open(self, key: StoredKey) -> object:
        """The key to sign with. Raises Unavailable when somebody with another setting has sealed it."""


class KnownKeys(Protocol):
    """The keys as this auth server knows them, which may be a moment ago."""

    @property
    def jwks(self) -> bytes:
        """What is published, as a JWK Set (RFC 7517 section 5). Raises Unavailable while there is nothing."""

    @property
    def is_one_missing(self) -> bool:
        """Whether it is time to make one."""

    async def catch_up(self) -> None:
        """Know the keys as they are now. Raises Unavailable; outside of any unit of work."""
