"""The ledger, in double entry: money never appears or vanishes, it moves.

Each movement is two entries that add up to zero: what one account gives, and what another takes. ACCOUNTS
says which. A user's wallet is an account that is never below zero, and whose balance is kept, since every
charge asks for it. `outside` and `sales` are the house's. Every movement touches one of these, so a kept
balance would be a row that all wait for: theirs is the sum of their entries, drawn up when somebody asks.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from services.payment.domain.payments import (
    Deposit,
    Payment,
    PaymentCharged,
    PaymentEvent,
    PaymentRefunded,
    Wallet,
    WalletDeposited,
)
from shared.money import Money


class Account(StrEnum):
    """Where money can be."""

    OUTSIDE = "outside"  # below zero by what all users together have deposited
    WALLET = "wallet"  # one for each user
    SALES = "sales"


class MovementKind(StrEnum):
    """Why money moves."""

    DEPOSIT = "deposit"
    CHARGE = "charge"
    REFUND = "refund"


ACCOUNTS = {  # which account gives, which one takes
    MovementKind.DEPOSIT: (Account.OUTSIDE, Account.WALLET),
    MovementKind.CHARGE: (Account.WALLET, Account.SALES),
    MovementKind.REFUND: (Account.SALES, Account.WALLET),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One side of a movement: an account has so much more, or less."""

    account: Account
    amount: int


@dataclass(frozen=True, slots=True)
class Movement:
    """Money that goes into one user's wallet, or out of it, because of a deposit or a payment."""

    kind: MovementKind
    user_id: UUID
    amount: Money
    cause: UUID  # the deposit, or the payment

    @property
    def entries(self) -> tuple[Entry, Entry]:
        """Both sides; they add up to zero."""
        giver, taker = ACCOUNTS[self.kind]
        return Entry(giver, -self.amount.amount), Entry(taker, self.amount.amount)


def movement_of(event: PaymentEvent) -> Movement | None:
    """What moves with `event`; None for those that leave all money where it is."""
    match event:
        case WalletDeposited(Deposit(deposit_id, user_id, amount)):
            return Movement(MovementKind.DEPOSIT, user_id, amount, deposit_id)
        case PaymentCharged(Payment(payment_id, _, UUID() as user_id, Money() as amount)):
            return Movement(MovementKind.CHARGE, user_id, amount, payment_id)
        case PaymentRefunded(Payment(payment_id, _, UUID() as user_id, Money() as amount)):
            return Movement(MovementKind.REFUND, user_id, amount, payment_id)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class WalletEntry:
    """What a movement has changed in a wallet. It has one entry there, so both have the same identifier."""

    entry_id: UUID
    kind: MovementKind
    amount: Money  # below zero for what has left the wallet
    balance: Money  # after it
    cause: UUID  # the deposit, or the payment
    at: datetime


@dataclass(frozen=True, slots=True)
class TrialBalance:
    """What the accounts hold by their entries, in minor units, and where anything says otherwise.

    A wallet is wrong, named by its user, when a balance that is kept of it is not the sum of its entries; a
    payment when what has moved is not what has become of it.
    """

    outside: int
    wallets: int
    sales: int
    unbalanced_movements: Sequence[UUID] = ()
    wrong_wallets: Sequence[UUID] = ()
    wrong_payments: Sequence[UUID] = ()

    @property
    def is_sound(self) -> bool:
        """Whether everything adds up."""
        wrong = (*self.unbalanced_movements, *self.wrong_wallets, *self.wrong_payments)
        return self.outside + self.wallets + self.sales == 0 and not wrong


# What the use cases need


class PaymentRepository(Protocol):
    """Where payments, wallets and the ledger are kept. Every method raises Unavailable while that is away.

    What is held, nobody else touches until the unit of work ends, which must be open. Whoever holds both
    holds the payment first: so nobody waits for who waits for them.
    """

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """All calls inside the block take effect together, or none does."""

    async def claim_payment(self, payment_id: UUID) -> Payment | None:
        """The payment, held whether or not there is one. If not, one must then be recorded."""

    async def hold_wallet(self, user_id: UUID, currency: str) -> Wallet:
        """As `get_wallet`, but held."""

    async def get_wallet(self, user_id: UUID, currency: str) -> Wallet:
        """The user's wallet in `currency`; an empty one where nothing has ever been deposited."""

    async def page(self, user_id: UUID, currency: str, after: UUID | None, limit: int) -> list[WalletEntry]:
        """Up to `limit` entries of that wallet, newest first, from the one after `after` on."""

    async def trial_balance(self, currency: str) -> TrialBalance:
        """What all accounts hold in `currency`, and all that does not add up, at one moment."""

    async def record(self, event: PaymentEvent) -> None:
        """Make `event` true, and its movement with it. The payment, or the wallet, must be held."""
