"""Money in the bodies of requests."""

from msgspec import Struct

from shared.money import Money


class MoneyBody(Struct, forbid_unknown_fields=True):
    """`{"amount": …, "currency": …}`: minor units and ISO 4217 code."""

    amount: int
    currency: str

    def to_money(self) -> Money:
        """As the domain has it."""
        return Money(self.amount, self.currency)
