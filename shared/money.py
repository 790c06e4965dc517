"""Money: whole numbers of a currency's minor unit, never fractions (pure)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.rules import Rule

EXACT_IN_JSON = 2**53 - 1  # the largest integer that every reader of JSON keeps exact (RFC 8259 section 6)
MAX_AMOUNT = EXACT_IN_JSON


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the currency's minor unit (won, cents); `currency` is an ISO 4217 code."""

    amount: int
    currency: str


def money_rules(currency: str, known_currencies: frozenset[str], least: int = 0) -> Mapping[str, Rule]:
    """The rules of `amount`, from `least` up, and `currency`: the shop's one of all `known_currencies`."""

    def amount_fault(amount: int) -> str | None:
        return None if least <= amount <= MAX_AMOUNT else f"Must be from {least} to {MAX_AMOUNT}"

    def currency_fault(code: str) -> str | None:
        if code not in known_currencies:
            return "Must be an ISO 4217 currency code"
        return None if code == currency else f"Must be {currency}, the one currency of this shop"

    return {"amount": amount_fault, "currency": currency_fault}


def money_fields(money: Money, path: str = "") -> Iterator[tuple[str, object]]:
    """What `money`, in the field `path`, gives by dotted path: to be checked against `money_rules`."""
    prefix = f"{path}." if path else ""
    yield f"{prefix}amount", money.amount
    yield f"{prefix}currency", money.currency


def under(path: str, rules: Mapping[str, Rule]) -> dict[str, Rule]:
    """`rules` for what stands in the field `path`."""
    return {f"{path}.{name}": rule for name, rule in rules.items()}
