"""The domain's PaymentRepository in memory: the fake that passes the same suite as the real thing."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from services.payment.domain.ledger import (
    Account,
    Movement,
    MovementKind,
    TrialBalance,
    WalletEntry,
    movement_of,
)
from services.payment.domain.payments import Payment, PaymentEvent, Wallet, WalletDeposited
from shared.ids import new_id
from shared.money import MAX_AMOUNT, Money

START = datetime(2026, 1, 1, tzinfo=UTC)
Owner = tuple[UUID, str]  # of a wallet: user and currency


@dataclass
class Kept:
    payments: dict[UUID, Payment] = field(default_factory=dict)
    wallets: dict[Owner, Wallet] = field(default_factory=dict)
    entries: dict[Owner, list[WalletEntry]] = field(default_factory=dict)  # oldest first
    movements: list[Movement] = field(default_factory=list)
    events: list[PaymentEvent] = field(default_factory=list)

    def copy(self) -> "Kept":
        entries = {owner: [*lines] for owner, lines in self.entries.items()}
        return Kept({**self.payments}, {**self.wallets}, entries, [*self.movements], [*self.events])


class MemoryPaymentRepository:
    def __init__(self) -> None:
        self.kept = Kept()
        self._working = asyncio.Lock()

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncIterator[None]:
        async with self._working:
            before = self.kept.copy()
            try:
                yield
            except BaseException:
                self.kept = before
                raise

    async def claim_payment(self, payment_id: UUID) -> Payment | None:
        await self._let_others_in()
        return self.kept.payments.get(payment_id)

    async def hold_wallet(self, user_id: UUID, currency: str) -> Wallet:
        await self._let_others_in()
        return await self.get_wallet(user_id, currency)

    async def get_wallet(self, user_id: UUID, currency: str) -> Wallet:
        return self.kept.wallets.get((user_id, currency), Wallet(user_id, Money(0, currency)))

    async def page(self, user_id: UUID, currency: str, after: UUID | None, limit: int) -> list[WalletEntry]:
        newest_first = self.kept.entries.get((user_id, currency), [])[::-1]
        if after is not None:
            identifiers = [each.entry_id for each in newest_first]
            newest_first = newest_first[identifiers.index(after) + 1 :] if after in identifiers else []
        return newest_first[:limit]

    async def trial_balance(self, currency: str) -> TrialBalance:
        """Its movements are what is balanced by construction; its wallets are what may be wrong."""
        sums: Counter[Account] = Counter()
        for movement in self.kept.movements:
            if movement.amount.currency == currency:
                for entry in movement.entries:
                    sums[entry.account] += entry.amount
        wrong = [owner[0] for owner in self.kept.wallets if not self._adds_up(owner)]
        return TrialBalance(sums[Account.OUTSIDE], sums[Account.WALLET], sums[Account.SALES], (), wrong, ())

    async def record(self, event: PaymentEvent) -> None:
        assert self._working.locked(), "only inside a unit of work"
        if not isinstance(event, WalletDeposited):
            self.kept.payments[event.payment.payment_id] = event.payment
        if (movement := movement_of(event)) is not None:
            self._move(movement)
        self.kept.events.append(event)

    def _move(self, movement: Movement) -> None:
        owner = movement.user_id, movement.amount.currency
        before = self.kept.wallets.get(owner, Wallet(movement.user_id, Money(0, owner[1])))
        (amount,) = (each.amount for each in movement.entries if each.account is Account.WALLET)
        is_deposit = movement.kind is MovementKind.DEPOSIT
        after = Money(before.balance.amount + amount, owner[1])
        deposited = before.deposited + (amount if is_deposit else 0)
        assert 0 <= after.amount <= deposited <= MAX_AMOUNT
        self.kept.wallets[owner] = replace(before, balance=after, deposited=deposited)
        self.kept.movements.append(movement)
        entry_id = movement.cause if is_deposit else new_id()
        at = START + timedelta(seconds=len(self.kept.movements))
        entry = WalletEntry(entry_id, movement.kind, Money(amount, owner[1]), after, movement.cause, at)
        self.kept.entries.setdefault(owner, []).append(entry)

    def _adds_up(self, owner: Owner) -> bool:
        total = sum(each.amount.amount for each in self.kept.entries[owner])
        return self.kept.wallets[owner].balance.amount == total

    async def _let_others_in(self) -> None:
        assert self._working.locked(), "only inside a unit of work"
        await asyncio.sleep(0)
