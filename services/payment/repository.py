"""Payments, wallets and the ledger in PostgreSQL: rows ↔ domain.

What is recorded is reported, in the same transaction.
That all adds up is not left to this file: the tables refuse what does not (migrations/).
Rows are locked in one order: the payment's, then the wallet's.
"""

from contextlib import AbstractAsyncContextManager
from uuid import UUID

from psycopg.rows import TupleRow

from services.payment.domain.ledger import (
    Account,
    Entry,
    Movement,
    MovementKind,
    TrialBalance,
    WalletEntry,
    movement_of,
)
from services.payment.domain.payments import (
    Payment,
    PaymentEvent,
    PaymentStatus,
    Wallet,
    WalletDeposited,
)
from services.payment.events import reports
from shared.db.database import Database
from shared.db.statements import every, execute, one
from shared.events.outbox import Outbox
from shared.ids import new_id
from shared.money import Money

# Whoever comes second with the same identifier waits here until the first one's transaction has ended.
_CLAIM_PAYMENT = "INSERT INTO payments (payment_id) VALUES (%s) ON CONFLICT DO NOTHING"
_HOLD_PAYMENT = """
    SELECT payment_id, status, user_id, amount, currency FROM payments WHERE payment_id = %s FOR UPDATE"""
_DECIDE_PAYMENT = """
    UPDATE payments SET (status, user_id, amount, currency, changed_at) = (%s, %s, %s, %s, clock_timestamp())
    WHERE payment_id = %s"""

_OPEN_WALLET = "INSERT INTO wallets (user_id, currency) VALUES (%s, %s) ON CONFLICT DO NOTHING"
_GET_WALLET = "SELECT balance, deposited FROM wallets WHERE user_id = %s AND currency = %s"
_HOLD_WALLET = _GET_WALLET + " FOR UPDATE"

_MOVE = "INSERT INTO movements (movement_id, kind, payment_id) VALUES (%s, %s, %s)"
_ENTER = """
    INSERT INTO entries (movement_id, account, user_id, currency, amount)
    VALUES (%s, %s, %s, %s, %s), (%s, %s, %s, %s, %s)"""

_ENTRIES = """
    SELECT movement_id, kind, amount, balance, coalesce(payment_id, movement_id), at
    FROM entries JOIN movements USING (movement_id)
    WHERE user_id = %(user_id)s AND currency = %(currency)s"""
_OLDER = """
    AND number < (
        SELECT number FROM entries
        WHERE movement_id = %(after)s AND user_id = %(user_id)s AND currency = %(currency)s)"""
_IN_ORDER = " ORDER BY number DESC LIMIT %(limit)s"
_FIRST_PAGE = _ENTRIES + _IN_ORDER
_NEXT_PAGE = _ENTRIES + _OLDER + _IN_ORDER

# One statement sees one moment, whatever is committed meanwhile.
_TRIAL_BALANCE = """
    SELECT
        coalesce(sum(amount) FILTER (WHERE account = 'outside'), 0),
        coalesce(sum(amount) FILTER (WHERE account = 'wallet'), 0),
        coalesce(sum(amount) FILTER (WHERE account = 'sales'), 0),
        ARRAY(SELECT movement_id FROM unbalanced_movements),
        ARRAY(SELECT user_id FROM wrong_wallets),
        ARRAY(SELECT payment_id FROM wrong_payments)
    FROM entries WHERE currency = %s"""


class PostgresPaymentRepository:
    """The domain's PaymentRepository."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._database = database
        self._outbox = outbox

    def unit_of_work(self) -> AbstractAsyncContextManager[object]:
        """One transaction, which the other methods join."""
        return self._database.transaction()

    async def claim_payment(self, payment_id: UUID) -> Payment | None:
        """Of several transactions that make the row, all but the first wait here."""
        if await execute(self._database, _CLAIM_PAYMENT, [payment_id]):
            return None
        row = await one(self._database, _HOLD_PAYMENT, [payment_id])
        return None if row is None else _payment(row)

    async def hold_wallet(self, user_id: UUID, currency: str) -> Wallet:
        """The row stays locked until the transaction ends; where there is none, an empty one is made."""
        wallet = await self._wallet(_HOLD_WALLET, user_id, currency)
        if wallet is None:
            await execute(self._database, _OPEN_WALLET, [user_id, currency])
            wallet = await self._wallet(_HOLD_WALLET, user_id, currency)
        assert wallet is not None
        return wallet

    async def get_wallet(self, user_id: UUID, currency: str) -> Wallet:
        """By primary key."""
        wallet = await self._wallet(_GET_WALLET, user_id, currency)
        return wallet or Wallet(user_id, Money(0, currency))

    async def page(self, user_id: UUID, currency: str, after: UUID | None, limit: int) -> list[WalletEntry]:
        """By their numbers: identifiers do not tell in which order the wallet has changed."""
        values = {"user_id": user_id, "currency": currency, "after": after, "limit": limit}
        rows = await every(self._database, _NEXT_PAGE if after else _FIRST_PAGE, values)
        return [_entry(row, currency) for row in rows]

    async def trial_balance(self, currency: str) -> TrialBalance:
        """Reads all of the ledger, so it takes the longer the longer that is."""
        row = await one(self._database, _TRIAL_BALANCE, [currency])
        assert row is not None
        outside, wallets, sales, *wrong = row
        return TrialBalance(int(outside), int(wallets), int(sales), *wrong)

    async def record(self, event: PaymentEvent) -> None:
        """The payment first, then the movement: its entries lock the wallet. Then the report, under both."""
        async with self._database.transaction(type(event).__name__):
            if not isinstance(event, WalletDeposited):
                await execute(self._database, _DECIDE_PAYMENT, _payment_row(event.payment))
            movement = movement_of(event)
            if movement is not None:
                await self._move(movement)
            await self._outbox.add(reports(event))

    async def _wallet(self, query: str, user_id: UUID, currency: str) -> Wallet | None:
        row = await one(self._database, query, [user_id, currency])
        if row is None:
            return None
        balance, deposited = row
        return Wallet(user_id, Money(balance, currency), deposited)

    async def _move(self, movement: Movement) -> None:
        is_deposit = movement.kind is MovementKind.DEPOSIT
        movement_id, payment_id = (movement.cause, None) if is_deposit else (new_id(), movement.cause)
        await execute(self._database, _MOVE, [movement_id, movement.kind.value, payment_id])
        rows = (_entry_row(movement_id, movement, entry) for entry in movement.entries)
        await execute(self._database, _ENTER, [value for row in rows for value in row])


def _entry_row(movement_id: UUID, movement: Movement, entry: Entry) -> tuple[object, ...]:
    user_id = movement.user_id if entry.account is Account.WALLET else None
    return (movement_id, entry.account.value, user_id, movement.amount.currency, entry.amount)


def _payment(row: TupleRow) -> Payment | None:
    """None for a row that somebody has made and left undecided."""
    payment_id, status, user_id, amount, currency = row
    if status is None:
        return None
    money = None if amount is None else Money(amount, currency)
    return Payment(payment_id, PaymentStatus(status), user_id, money)


def _payment_row(payment: Payment) -> tuple[object, ...]:
    """The values of _DECIDE_PAYMENT, in their order."""
    money = (None, None) if payment.amount is None else (payment.amount.amount, payment.amount.currency)
    return (payment.status.value, payment.user_id, *money, payment.payment_id)


def _entry(row: TupleRow, currency: str) -> WalletEntry:
    entry_id, kind, amount, balance, cause, at = row
    moved, balance_after = Money(amount, currency), Money(balance, currency)
    return WalletEntry(entry_id, MovementKind(kind), moved, balance_after, cause, at)
