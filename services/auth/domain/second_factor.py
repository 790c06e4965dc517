"""The second factor: time-based one-time codes (TOTP, RFC 6238), and recovery codes for a lost phone."""

import hashlib
import re
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from shared.errors import Unauthenticated

RECOVERY_CODES = 10  # handed out at once
RECOVERY_CODE_BITS = 80  # nobody guesses them, so that a fast digest of them is enough

_SEPARATORS = re.compile(r"[\s\u2010-\u2015-]+")  # blanks, and dashes as word processors make them
_RECOVERY_CODE = re.compile(rf"[A-Z2-7]{{{RECOVERY_CODE_BITS // 5}}}")  # base32 (RFC 4648 section 6)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """A shared secret. It counts once its owner has shown, with a code, that the phone has it too."""

    user_id: UUID
    sealed_secret: bytes = field(repr=False)
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class NewSecret:
    """What a phone is given, to type or to scan (Key URI format); and what we keep of it."""

    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    sealed: bytes = field(repr=False)


class SecondFactorRequired(Unauthenticated):
    """The password was right; a code is needed as well."""

    def __init__(self) -> None:
        super().__init__("This account needs a one-time code as well.", code="second-factor-required")


class SecondFactorWrong(Unauthenticated):
    """The password was right, the code was not, or it was used before."""

    def __init__(self) -> None:
        super().__init__("The one-time code is wrong, or was used before.", code="second-factor-wrong")


# Rules


def tidy_code(presented: str) -> str:
    """A code as we compare it: people group the characters, and do not care about their case."""
    return _SEPARATORS.sub("", presented).upper()


def is_recovery_code(code: str) -> bool:
    """Whether a tidy code looks like one; the six digits of a phone never do."""
    return _RECOVERY_CODE.fullmatch(code) is not None


def recovery_digest(user_id: UUID, code: str) -> bytes:
    """What is kept of a tidy recovery code. It is worth nothing to another account."""
    return hashlib.sha256(user_id.bytes + code.encode()).digest()


# What the use cases need


class SecondFactorRepository(Protocol):
    """Where second factors are kept. Every method raises Unavailable while that cannot be reached.

    Whoever looks at an enrolment in order to change something calls `hold` first.
    """

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def begin(self, user_id: UUID, sealed_secret: bytes) -> bool:
        """A secret to be confirmed, instead of one that never was; False when one is confirmed already."""

    async def hold(self, user_id: UUID) -> tuple[Enrolment, datetime] | None:
        """The enrolment and the time; nobody else touches it until the unit of work ends."""

    async def use_step(self, user_id: UUID, step: int) -> bool:
        """Accept the code of a step, now and never again; False when this or a later one was accepted."""

    async def confirm(self, user_id: UUID, recovery_digests: Sequence[bytes]) -> None:
        """From now on it counts, and these recovery codes do."""

    async def use_recovery_code(self, user_id: UUID, digest: bytes) -> bool:
        """Accept it, now and never again; False when there is none, or it was used."""

    async def remove(self, user_id: UUID) -> bool:
        """Neither secret nor recovery codes any more; False when there was no secret."""


class OneTimeCodes(Protocol):
    """Makes secrets and codes, and reads codes."""

    def new_secret(self, user_id: UUID, email: str) -> NewSecret:
        """A random secret for that account."""

    def new_recovery_codes(self) -> Sequence[str]:
        """RECOVERY_CODES random ones, spelled for people."""

    def step_of(self, enrolment: Enrolment, code: str, now: datetime) -> int | None:
        """The step whose code this is, if that is near `now`. Raises Unavailable without the right key."""


class SecondFactor(Protocol):
    """What a login asks for after the password."""

    async def demand(self, user_id: UUID, presented: str) -> None:
        """Use the code up, in the login's unit of work. An account without a second factor needs none.

        Raises SecondFactorRequired when `presented` is empty, SecondFactorWrong, Unavailable.
        """
