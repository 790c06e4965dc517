"""Whatever is asked, in whatever order: the ledger agrees with the plainest account that one can keep."""

import asyncio
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from services.payment.domain.payments import Charge, ChargeOutcome, RefundOutcome, amount_rules
from services.payment.service import PaymentService
from shared.currency import CURRENCY_CODES
from shared.errors import Conflict
from shared.money import MAX_AMOUNT, Money
from tests.services.payment.memory_repository import MemoryPaymentRepository

USERS = [UUID(int=number) for number in (1, 2)]
PAYMENTS = [UUID(int=number) for number in range(11, 16)]
users, payment_ids = st.sampled_from(USERS), st.sampled_from(PAYMENTS)
amounts = st.one_of(st.integers(1, 20), st.integers(1, MAX_AMOUNT))


class Payments(RuleBasedStateMachine):
    """`balances` and `spent` by user; what became of each identifier, and for what it was used."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.service = PaymentService(MemoryPaymentRepository(), "KRW", amount_rules("KRW", CURRENCY_CODES))
        self.balances: Counter[UUID] = Counter()
        self.spent: Counter[UUID] = Counter()
        self.outcomes: dict[UUID, ChargeOutcome] = {}
        self.used_for: dict[UUID, tuple[UUID, int]] = {}

    def teardown(self) -> None:
        self.runner.close()

    @rule(user_id=users, amount=amounts)
    def deposit(self, user_id: UUID, amount: int) -> None:
        if self.balances[user_id] + self.spent[user_id] + amount > MAX_AMOUNT:
            with pytest.raises(Conflict):
                self.runner.run(self.service.deposit(user_id, Money(amount, "KRW")))
            return
        self.balances[user_id] += amount
        deposit = self.runner.run(self.service.deposit(user_id, Money(amount, "KRW")))
        assert deposit.balance.amount == self.balances[user_id]

    @rule(payment_id=payment_ids, user_id=users, amount=amounts)
    def charge(self, payment_id: UUID, user_id: UUID, amount: int) -> None:
        charge = Charge(payment_id, user_id, Money(amount, "KRW"))
        if self.used_for.get(payment_id, (user_id, amount)) != (user_id, amount):
            with pytest.raises(Conflict):
                self.runner.run(self.service.charge(charge))
            return
        if payment_id not in self.outcomes:
            self.used_for[payment_id] = (user_id, amount)
            self.outcomes[payment_id] = self._first_outcome(user_id, amount)
        assert self.runner.run(self.service.charge(charge)) is self.outcomes[payment_id]

    @rule(payment_id=payment_ids)
    def charge_again(self, payment_id: UUID) -> None:
        if payment_id in self.used_for:
            self.charge(payment_id, *self.used_for[payment_id])

    @rule(payment_id=payment_ids)
    def refund(self, payment_id: UUID) -> None:
        outcome = self.runner.run(self.service.refund(payment_id))
        before = self.outcomes.get(payment_id)
        if before is ChargeOutcome.CHARGED:
            user_id, amount = self.used_for[payment_id]
            self.balances[user_id] += amount
            self.spent[user_id] -= amount
        if before is not ChargeOutcome.DECLINED:
            self.outcomes[payment_id] = ChargeOutcome.ALREADY_CANCELLED
        was_made = payment_id in self.used_for and before is not ChargeOutcome.DECLINED
        assert outcome is (RefundOutcome.REFUNDED if was_made else RefundOutcome.NOTHING_TO_REFUND)

    @invariant()
    def adds_up(self) -> None:
        balance = self.runner.run(self.service.trial_balance())
        held, spent = self.balances.total(), self.spent.total()
        assert (balance.outside, balance.wallets, balance.sales) == (-held - spent, held, spent)
        assert balance.is_sound
        for user_id in USERS:
            assert self.runner.run(self.service.wallet(user_id)).balance.amount == self.balances[user_id]

    def _first_outcome(self, user_id: UUID, amount: int) -> ChargeOutcome:
        if amount > self.balances[user_id]:
            return ChargeOutcome.DECLINED
        self.balances[user_id] -= amount
        self.spent[user_id] += amount
        return ChargeOutcome.CHARGED


TestPayments = Payments.TestCase
TestPayments.settings = settings(max_examples=50, stateful_step_count=30)
