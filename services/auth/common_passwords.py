"""The passwords that are guessed first: 30,000 from leaks, as the zxcvbn package ships them."""

from functools import cache

from zxcvbn.frequency_lists import FREQUENCY_LISTS  # type: ignore[import-untyped]

from services.auth.domain.passwords import MIN_PASSWORD_CHARACTERS, guessing_key


@cache
def common_passwords() -> frozenset[str]:
    """The `guessing_key` of each that is long enough to be chosen at all."""
    keys = map(guessing_key, FREQUENCY_LISTS["passwords"])
    return frozenset(key for key in keys if len(key) >= MIN_PASSWORD_CHARACTERS)
