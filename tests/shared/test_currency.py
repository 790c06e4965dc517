import pytest

from shared.config import ConfigError, Environment
from shared.currency import CURRENCY_CODES, currency_of


def test_the_default_is_won() -> None:
    assert currency_of(Environment({})) == "KRW"


def test_another_currency_may_be_chosen() -> None:
    assert currency_of(Environment({"CURRENCY": "EUR"})) == "EUR"


@pytest.mark.parametrize("code", ["XBT", "krw", "WON", "K"])
def test_what_is_no_currency_names_the_setting(code: str) -> None:
    with pytest.raises(ConfigError, match="CURRENCY"):
        currency_of(Environment({"CURRENCY": code}))


def test_the_codes_are_three_capitals() -> None:
    assert {"KRW", "USD", "EUR", "JPY"} < CURRENCY_CODES
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in CURRENCY_CODES)
