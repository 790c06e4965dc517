"""What an operator can set, and what is refused."""

from datetime import timedelta

import pytest

from services.auth.settings import AuthSettings
from shared.config import ConfigError, Environment
from tests.services.auth.conftest import encryption_key_text


def settings(**values: str) -> AuthSettings:
    required = {"REDIS_URL": "redis://localhost", "AUTH_KEY_ENCRYPTION_KEY": encryption_key_text()}
    return AuthSettings.read(Environment({**required, **values}))


def test_guessing_is_limited_unless_told_otherwise() -> None:
    limits = settings().guessing
    assert (limits.account_failures, limits.address_failures) == (10, 100)
    assert limits.first_lock == timedelta(seconds=1)
    assert limits.longest_lock == limits.window == timedelta(minutes=15)


def test_the_longest_lock_follows_the_first() -> None:
    assert settings(LOGIN_LOCK_SECONDS="3600").guessing.longest_lock == timedelta(hours=1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LOGIN_FREE_FAILURES_ACCOUNT", "1"),
        ("LOGIN_FREE_FAILURES_ADDRESS", "0"),
        ("LOGIN_FAILURES_SECONDS", "0"),
        ("LOGIN_LOCK_SECONDS", "-1"),
        ("LOGIN_LOCK_MAX_SECONDS", "0.5"),
    ],
)
def test_limits_that_make_no_sense_are_refused_by_name(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=key):
        settings(**{key: value})
