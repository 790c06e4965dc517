"""What can be done with users' money. Each write reads as: find, decide, record."""

from collections.abc import Mapping
from uuid import UUID

from services.payment.domain.ledger import PaymentRepository, TrialBalance, WalletEntry
from services.payment.domain.payments import (
    Charge,
    ChargeOutcome,
    Deposit,
    RefundOutcome,
    Wallet,
    cancel_payment,
)
from shared.ids import new_id
from shared.money import Money, money_fields, under
from shared.paging import Page, page_of
from shared.rules import Rule, check


class PaymentService:
    """The use cases. Besides what each says, all raise Unavailable while the repository does.

    Wallets are in `currency`, the shop's: after a change of it, what users had in another waits untouched.
    """

    def __init__(self, repository: PaymentRepository, currency: str, rules: Mapping[str, Rule]) -> None:
        self._repository = repository
        self._currency = currency
        self._deposit_rules = rules
        self._charge_rules = under("amount", rules)

    async def wallet(self, user_id: UUID) -> Wallet:
        """The user's wallet; an empty one when nothing has been deposited yet."""
        return await self._repository.get_wallet(user_id, self._currency)

    async def entries(self, user_id: UUID, after: UUID | None = None, limit: int = 20) -> Page[WalletEntry]:
        """What has changed the user's wallet, newest first."""
        found = await self._repository.page(user_id, self._currency, after, limit + 1)
        return page_of(found, limit, lambda entry: entry.entry_id)

    async def deposit(self, user_id: UUID, amount: Money) -> Deposit:
        """Put money into the user's wallet. Raises Invalid; Conflict when it has no room for so much."""
        check(money_fields(amount), self._deposit_rules)
        async with self._repository.unit_of_work():
            wallet = await self._repository.hold_wallet(user_id, self._currency)
            deposited = wallet.deposit(new_id(), amount)
            await self._repository.record(deposited)
            return deposited.deposit

    async def charge(self, charge: Charge) -> ChargeOutcome:
        """Take money out of a wallet, once, however often it is asked for.

        Raises Invalid; Conflict when the payment is another user's, or of another amount.
        """
        check(money_fields(charge.amount, "amount"), self._charge_rules)
        async with self._repository.unit_of_work():
            payment = await self._repository.claim_payment(charge.payment_id)
            if payment is None:
                wallet = await self._repository.hold_wallet(charge.user_id, self._currency)
                decided = wallet.charge(charge)
                await self._repository.record(decided)
                payment = decided.payment
            return payment.outcome_of(charge)

    async def refund(self, payment_id: UUID) -> RefundOutcome:
        """Put a payment's money back, once; one that has not been made yet never will be."""
        async with self._repository.unit_of_work():
            payment = await self._repository.claim_payment(payment_id)
            if payment is None:
                await self._repository.record(cancel_payment(payment_id))
                return RefundOutcome.NOTHING_TO_REFUND
            refunded = payment.refund()
            if refunded is not None:
                await self._repository.record(refunded)
                payment = refunded.payment
            return payment.refund_outcome

    async def trial_balance(self) -> TrialBalance:
        """Whether everything that is kept adds up, now."""
        return await self._repository.trial_balance(self._currency)
