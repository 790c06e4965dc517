"""Currencies: which codes ISO 4217 knows, and the one that this deployment has."""

import iso4217

from shared.config import ConfigError, Environment

CURRENCY_CODES = frozenset(currency.code for currency in iso4217.Currency)


def currency_of(environment: Environment) -> str:
    """The setting CURRENCY, KRW by default. Raises ConfigError for what is no ISO 4217 code."""
    code = environment.text("CURRENCY", "KRW")
    if code not in CURRENCY_CODES:
        raise ConfigError("CURRENCY", f"must be an ISO 4217 code like KRW, not {code!r}")
    return code
