"""Wallets, payments, and what can happen to them.

A decision (`Wallet.deposit`, `Wallet.charge`, `Payment.refund`, `cancel_payment`) returns the event it
amounts to, which carries what it is about as it then is, or None when nothing happens. Whoever records the
event makes it true.

A payment begins CHARGED or DECLINED, or as CANCELLED when a refund comes before it was made. All that can
still happen to one is CHARGED → REFUNDED. A refund cannot fail: it is what makes good when something else has
failed. That is why the limit is on all that is ever deposited in a wallet, above which no refund can lift it,
and not on what it holds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from uuid import UUID

from shared.errors import Conflict
from shared.money import MAX_AMOUNT, Money, money_rules
from shared.rules import Rule

LEAST_AMOUNT = 1  # moving nothing is not moving

# Payments


class PaymentStatus(StrEnum):
    """What has become of a payment."""

    CHARGED = "CHARGED"
    DECLINED = "DECLINED"  # there was not enough in the wallet
    REFUNDED = "REFUNDED"
    CANCELLED = "CANCELLED"  # before it was made


class ChargeOutcome(StrEnum):
    """How a Charge ends."""

    CHARGED = "CHARGED"
    DECLINED = "DECLINED"
    ALREADY_CANCELLED = "ALREADY_CANCELLED"  # a refund came first, or has come since


class RefundOutcome(StrEnum):
    """How a Refund ends."""

    REFUNDED = "REFUNDED"
    NOTHING_TO_REFUND = "NOTHING_TO_REFUND"  # nor will there ever be


_CHARGE_OUTCOMES = {
    PaymentStatus.CHARGED: ChargeOutcome.CHARGED,
    PaymentStatus.DECLINED: ChargeOutcome.DECLINED,
    PaymentStatus.REFUNDED: ChargeOutcome.ALREADY_CANCELLED,
    PaymentStatus.CANCELLED: ChargeOutcome.ALREADY_CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Charge:
    """The command to take money out of a wallet; whoever sends it chooses the identifier."""

    payment_id: UUID
    user_id: UUID
    amount: Money


@dataclass(frozen=True, slots=True)
class Payment:
    """Money taken out of one wallet, once. Cancelled before it was made, it has neither user nor amount."""

    payment_id: UUID
    status: PaymentStatus
    user_id: UUID | None = None
    amount: Money | None = None

    def outcome_of(self, charge: Charge) -> ChargeOutcome:
        """What a Charge of it is told. Raises Conflict when that names another user or amount."""
        was_made = self.status is not PaymentStatus.CANCELLED
        if was_made and (self.user_id, self.amount) != (charge.user_id, charge.amount):
            raise Conflict("The identifier has been used for another payment.", code="other-payment")
        return _CHARGE_OUTCOMES[self.status]

    def refund(self) -> "PaymentRefunded | None":
        """Give back what was charged, once."""
        if self.status is not PaymentStatus.CHARGED:
            return None
        return PaymentRefunded(replace(self, status=PaymentStatus.REFUNDED))

    @property
    def refund_outcome(self) -> RefundOutcome:
        """What a Refund of it is told, once that has been decided."""
        if self.status is PaymentStatus.REFUNDED:
            return RefundOutcome.REFUNDED
        return RefundOutcome.NOTHING_TO_REFUND


def cancel_payment(payment_id: UUID) -> "PaymentCancelled":
    """A payment that has not been made yet never will be."""
    return PaymentCancelled(Payment(payment_id, PaymentStatus.CANCELLED))


# Wallets


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money from outside, and what the wallet held with it."""

    deposit_id: UUID
    user_id: UUID
    amount: Money
    balance: Money


@dataclass(frozen=True, slots=True)
class Wallet:
    """One user's money. `deposited` is all that ever came from outside."""

    user_id: UUID
    balance: Money
    deposited: int = 0

    def deposit(self, deposit_id: UUID, amount: Money) -> "WalletDeposited":
        """Raises Conflict when all that ever came in would be more than MAX_AMOUNT."""
        if amount.amount > (room := MAX_AMOUNT - self.deposited):
            raise Conflict(f"No more than {room} can still be deposited here.", code="wallet-full")
        balance = replace(self.balance, amount=self.balance.amount + amount.amount)
        return WalletDeposited(Deposit(deposit_id, self.user_id, amount, balance))

    def charge(self, charge: Charge) -> "PaymentCharged | PaymentDeclined":
        """Pays all of it, or nothing."""
        payment = Payment(charge.payment_id, PaymentStatus.CHARGED, charge.user_id, charge.amount)
        if charge.amount.amount <= self.balance.amount:
            return PaymentCharged(payment)
        return PaymentDeclined(replace(payment, status=PaymentStatus.DECLINED))


# What has happened


@dataclass(frozen=True, slots=True)
class WalletDeposited:
    """A user has put money into the wallet."""

    deposit: Deposit


@dataclass(frozen=True, slots=True)
class PaymentCharged:
    """Money has left a wallet."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class PaymentDeclined:
    """There was not enough in a wallet."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class PaymentRefunded:
    """Money is back in a wallet."""

    payment: Payment


@dataclass(frozen=True, slots=True)
class PaymentCancelled:
    """A payment was cancelled before it was made."""

    payment: Payment


PaymentEvent = WalletDeposited | PaymentCharged | PaymentDeclined | PaymentRefunded | PaymentCancelled

# Rules


def amount_rules(currency: str, known_currencies: frozenset[str]) -> Mapping[str, Rule]:
    """The rules of what is deposited and charged: in `currency`, one of `known_currencies`."""
    return money_rules(currency, known_currencies, LEAST_AMOUNT)
