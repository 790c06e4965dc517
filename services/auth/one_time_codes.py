"""Time-based one-time codes (TOTP, RFC 6238), as every authenticator app makes them.

A code is the HOTP value (RFC 4226) of a shared secret and the number of the 30-second step that we are in.
The secret is kept encrypted, under a key of its own and bound to its account.
"""

import base64
import hmac
import logging
import secrets
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import pyotp

from services.auth.domain.second_factor import RECOVERY_CODE_BITS, RECOVERY_CODES, Enrolment, NewSecret
from services.auth.sealing import CannotUnseal, key_from, seal, unseal
from shared.errors import Unavailable

TOTP_SECRET_BYTES = 20  # as long as SHA-1's output (RFC 4226 section 4, requirement R6)
STEP_SECONDS = 30  # apps know no other; nor do they know other digests than SHA-1, which is enough here
DIGITS = 6
SKEW_STEPS = 1  # before and after ours: clocks differ, and typing takes time (RFC 6238 section 5.2)

_PURPOSE = b"plainstack totp secrets"
_GROUP = 4  # characters of a recovery code between two dashes

_log = logging.getLogger(__name__)


class SealedOneTimeCodes:
    """The domain's OneTimeCodes. `issuer` is what apps show beside the account."""

    def __init__(self, encryption_key: bytes, issuer: str) -> None:
        self._key = key_from(encryption_key, _PURPOSE)
        self._issuer = issuer

    def new_secret(self, user_id: UUID, email: str) -> NewSecret:
        """Its text is base32, which apps take."""
        secret = secrets.token_bytes(TOTP_SECRET_BYTES)
        text = base64.b32encode(secret).decode()
        uri = pyotp.TOTP(text).provisioning_uri(name=email, issuer_name=self._issuer)
        return NewSecret(text, uri, seal(self._key, secret, user_id.bytes))

    def new_recovery_codes(self) -> Sequence[str]:
        """Base32 in groups."""
        return [_new_recovery_code() for _ in range(RECOVERY_CODES)]

    def step_of(self, enrolment: Enrolment, code: str, now: datetime) -> int | None:
        """Opens the secret for as long as it takes."""
        return matching_step(self._unseal(enrolment), code, now)

    def _unseal(self, enrolment: Enrolment) -> bytes:
        try:
            return unseal(self._key, enrolment.sealed_secret, enrolment.user_id.bytes)
        except CannotUnseal:
            _log.error("a TOTP secret cannot be opened", extra={"user_id": str(enrolment.user_id)})
            raise Unavailable("One-time codes cannot be checked at the moment.") from None


def step_at(moment: datetime) -> int:
    """How many steps lie before it (RFC 6238 section 4.2)."""
    return int(moment.timestamp()) // STEP_SECONDS


def matching_step(secret: bytes, code: str, now: datetime) -> int | None:
    """The step near `now` with this code; the latest of several, so that it is used up for all of them."""
    current = step_at(now)
    steps = range(current - SKEW_STEPS, current + SKEW_STEPS + 1)
    return max((step for step in steps if _is_same(code, code_at(secret, step))), default=None)


def code_at(secret: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of a step."""
    return pyotp.HOTP(base64.b32encode(secret).decode(), digits=digits).at(step)


def _is_same(presented: str, code: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(presented.encode("utf-8", "surrogatepass"), code.encode())


def _new_recovery_code() -> str:
    text = base64.b32encode(secrets.token_bytes(RECOVERY_CODE_BITS // 8)).decode()
    return "-".join(text[start : start + _GROUP] for start in range(0, len(text), _GROUP))
