"""Guessing: how many attempts are free, and for how long the next ones are refused."""

import hashlib
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from itertools import chain, takewhile
from typing import Protocol
from uuid import UUID

from services.auth.domain.accounts import email_key

IPV6_NETWORK_BITS = 64  # what one customer gets: addresses within it cost nothing


class GuessedAt(StrEnum):
    """What attempts are counted for."""

    ACCOUNT = "account"  # by the e-mail address that was typed, whether there is such an account or not
    ADDRESS = "address"  # where they come from
    USER = "user"  # who is logged in and must prove their identity again


class Proof(StrEnum):
    """What such a user shows. Each is counted apart: who knows the one gains no new guesses at the other."""

    PASSWORD = "password"  # noqa: S105
    CODE = "code"  # of the second factor


class Outcome(StrEnum):
    """What became of an attempt where it was counted."""

    ADMITTED = "admitted"
    LOCKED = "locked"  # admitted as the last one: the next ones have to wait
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Count:
    """An attempt as it was counted for one thing, at the time `at`."""

    guessed_at: GuessedAt
    subject: bytes
    outcome: Outcome
    at: datetime
    locked_until: datetime | None

    @property
    def locked_for(self) -> timedelta:
        """How long the next attempts have to wait."""
        return timedelta(0) if self.locked_until is None else max(self.locked_until - self.at, timedelta(0))


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt, as it was counted: for the address before the account, the order of their locks.

    `user_id` is whose account it concerns, if there is such an account.
    """

    counts: tuple[Count, ...]
    user_id: UUID | None


# Rules


@dataclass(frozen=True, slots=True)
class GuessingLimits:
    """How many failures within the window are free, and how long locks are."""

    account_failures: int
    address_failures: int
    window: timedelta
    first_lock: timedelta
    longest_lock: timedelta


def lock_durations(first: timedelta, longest: timedelta) -> tuple[timedelta, ...]:
    """One lock after the other: each is twice as long as the one before, the last is for all that follow."""
    doubling = (first * 2**step for step in range(longest // first + 1))
    return tuple(chain(takewhile(lambda duration: duration < longest, doubling), [longest]))


def network_of(address: str) -> str:
    """What counts as one address: an IPv4 address, also where IPv6 wraps it, or an IPv6 network of 64 bits.

    Text that is no address counts as it is.
    """
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), IPV6_NETWORK_BITS), strict=False))


def account_subject(email: str, known_address: str = "") -> bytes:
    """What is kept of an e-mail address that somebody typed, and of the network, if the account knows it."""
    account = hashlib.sha256(email_key(email).encode()).digest()
    return account + address_subject(known_address) if known_address else account


def address_subject(address: str) -> bytes:
    """What is kept of where an attempt came from."""
    return hashlib.sha256(network_of(address).encode()).digest()


def user_subject(user_id: UUID, proof: Proof) -> bytes:
    """What is kept of a user who must prove their identity again."""
    return hashlib.sha256(user_id.bytes + proof.encode()).digest()


# What the use cases need


class GuessRepository(Protocol):
    """Where attempts are counted. Every method raises Unavailable while that cannot be reached."""

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def count_login(self, email: str, address: str) -> Attempt:
        """Count an attempt to log in, for the address and, where that is not locked, for the account.

        From a network that the account knows, attempts count apart from all others.
        """

    async def count_user(self, user_id: UUID, proof: Proof) -> Attempt:
        """Count an attempt of a user to prove their identity again."""

    async def take_back(self, count: Count) -> None:
        """As if that attempt, which was admitted, had not been made; a lock that it has set goes."""

    async def forget(self, count: Count) -> None:
        """As if none had ever been made."""

    async def forget_account(self, email: str, user_id: UUID) -> bool:
        """As if nobody had ever guessed at that account or user. False when nobody had."""

    async def forget_address(self, address: str) -> bool:
        """As if nobody had ever guessed from there. False when nobody had."""

    async def remember_network(self, user_id: UUID, network: str) -> None:
        """From now on the account knows that network."""
