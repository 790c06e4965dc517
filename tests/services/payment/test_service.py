"""One suite for the use cases over both repositories: what the fake promises, PostgreSQL keeps."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Mapping
from uuid import UUID

import pytest

from services.payment.domain.ledger import MovementKind, PaymentRepository, WalletEntry
from services.payment.domain.payments import (
    Charge,
    ChargeOutcome,
    Payment,
    PaymentCancelled,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentStatus,
    RefundOutcome,
    WalletDeposited,
)
from services.payment.service import PaymentService
from shared.errors import Conflict, Invalid
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule
from tests.services.payment.memory_repository import MemoryPaymentRepository

ANN = UUID("018cc251-f400-7000-8000-0000000000a1")
BOB = UUID("018cc251-f400-7000-8000-0000000000b1")
CHARGED, DECLINED = ChargeOutcome.CHARGED, ChargeOutcome.DECLINED
ALREADY_CANCELLED = ChargeOutcome.ALREADY_CANCELLED
REFUNDED, NOTHING_TO_REFUND = RefundOutcome.REFUNDED, RefundOutcome.NOTHING_TO_REFUND


def won(amount: int) -> Money:
    return Money(amount, "KRW")


def payment_id(number: int) -> UUID:
    return UUID(int=0x018CC251F40070008000000000001000 + number)


def charge_of(number: int, amount: int, user_id: UUID = ANN) -> Charge:
    return Charge(payment_id(number), user_id, won(amount))


async def balance_of(payments: PaymentService, user_id: UUID = ANN) -> int:
    return (await payments.wallet(user_id)).balance.amount


async def lines_of(payments: PaymentService, user_id: UUID = ANN) -> list[tuple[str, int, int]]:
    """Kind, amount and balance of each entry, newest first."""
    page = await payments.entries(user_id, limit=100)
    return [(each.kind.value, each.amount.amount, each.balance.amount) for each in page.items]


async def require_soundness(payments: PaymentService) -> None:
    balance = await payments.trial_balance()
    assert balance.is_sound, balance


async def test_nobody_has_money_at_first(payments: PaymentService) -> None:
    assert (await payments.wallet(ANN)).balance == won(0)
    assert (await payments.entries(ANN)).items == []
    assert (await payments.entries(ANN)).next is None
    await require_soundness(payments)


async def test_deposits_add_up(payments: PaymentService) -> None:
    first = await payments.deposit(ANN, won(100))
    second = await payments.deposit(ANN, won(50))
    await payments.deposit(BOB, won(7))
    assert (first.user_id, first.amount, first.balance) == (ANN, won(100), won(100))
    assert (second.amount, second.balance) == (won(50), won(150))
    assert await balance_of(payments) == 150
    assert await lines_of(payments) == [("deposit", 50, 150), ("deposit", 100, 100)]
    newest = (await payments.entries(ANN)).items[0]
    assert newest == WalletEntry(
        newest.entry_id, MovementKind.DEPOSIT, won(50), won(150), second.deposit_id, newest.at
    )
    assert await lines_of(payments, BOB) == [("deposit", 7, 7)]
    await require_soundness(payments)


@pytest.mark.parametrize(
    ("amount", "fields"),
    [
        (won(0), ["amount"]),
        (won(-1), ["amount"]),
        (won(MAX_AMOUNT + 1), ["amount"]),
        (Money(1, "USD"), ["currency"]),
        (Money(0, ""), ["amount", "currency"]),
    ],
)
async def test_bad_amounts_are_refused_whoever_calls(
    payments: PaymentService, amount: Money, fields: list[str]
) -> None:
    with pytest.raises(Invalid) as deposit:
        await payments.deposit(ANN, amount)
    assert [each.field for each in deposit.value.fields] == fields
    with pytest.raises(Invalid) as charge:
        await payments.charge(Charge(payment_id(1), ANN, amount))
    assert [each.field for each in charge.value.fields] == [f"amount.{name}" for name in fields]


async def test_a_wallet_takes_in_so_much_and_no_more(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(MAX_AMOUNT - 1))
    with pytest.raises(Conflict) as refused:
        await payments.deposit(ANN, won(2))
    assert refused.value.code == "wallet-full"
    assert (await payments.deposit(ANN, won(1))).balance == won(MAX_AMOUNT)
    await require_soundness(payments)


async def test_a_full_wallet_can_always_be_refunded(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(MAX_AMOUNT))
    await payments.charge(charge_of(1, 30))
    with pytest.raises(Conflict):
        await payments.deposit(ANN, won(1))
    assert await payments.refund(payment_id(1)) is REFUNDED
    assert await balance_of(payments) == MAX_AMOUNT
    await require_soundness(payments)


async def test_a_charge_takes_effect_once(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    for _ in range(3):
        assert await payments.charge(charge_of(1, 30)) is CHARGED
    assert await lines_of(payments) == [("charge", -30, 70), ("deposit", 100, 100)]
    assert (await payments.entries(ANN)).items[0].cause == payment_id(1)
    await require_soundness(payments)


async def test_a_wallet_can_be_emptied(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    assert await payments.charge(charge_of(1, 100)) is CHARGED
    assert await payments.charge(charge_of(2, 1)) is DECLINED
    assert await balance_of(payments) == 0
    await require_soundness(payments)


async def test_a_declined_charge_stays_declined(payments: PaymentService) -> None:
    assert await payments.charge(charge_of(1, 30)) is DECLINED
    await payments.deposit(ANN, won(100))
    assert await payments.charge(charge_of(1, 30)) is DECLINED
    assert await payments.charge(charge_of(2, 30)) is CHARGED
    assert await payments.refund(payment_id(1)) is NOTHING_TO_REFUND
    assert await payments.charge(charge_of(1, 30)) is DECLINED
    assert await balance_of(payments) == 70
    await require_soundness(payments)


async def test_a_refund_takes_effect_once(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    await payments.charge(charge_of(1, 30))
    for _ in range(3):
        assert await payments.refund(payment_id(1)) is REFUNDED
        assert await payments.charge(charge_of(1, 30)) is ALREADY_CANCELLED
    lines = await lines_of(payments)
    assert lines == [("refund", 30, 100), ("charge", -30, 70), ("deposit", 100, 100)]
    await require_soundness(payments)


async def test_a_charge_that_comes_after_its_refund_takes_nothing(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    for _ in range(2):
        assert await payments.refund(payment_id(1)) is NOTHING_TO_REFUND
    for _ in range(2):
        assert await payments.charge(charge_of(1, 30)) is ALREADY_CANCELLED
        assert await payments.refund(payment_id(1)) is NOTHING_TO_REFUND
    assert await balance_of(payments) == 100
    await require_soundness(payments)


@pytest.mark.parametrize("balance", [100, 0], ids=["charged", "declined"])
@pytest.mark.parametrize("other", [charge_of(1, 31), charge_of(1, 30, BOB)], ids=["amount", "user"])
async def test_an_identifier_is_good_for_one_payment(
    payments: PaymentService, balance: int, other: Charge
) -> None:
    if balance:
        await payments.deposit(ANN, won(balance))
    outcome = await payments.charge(charge_of(1, 30))
    with pytest.raises(Conflict):
        await payments.charge(other)
    assert await payments.charge(charge_of(1, 30)) is outcome
    await payments.refund(payment_id(1))
    if balance:
        with pytest.raises(Conflict):
            await payments.charge(other)
    assert await balance_of(payments) == balance
    await require_soundness(payments)


async def test_pages_follow_each_other_newest_first(payments: PaymentService) -> None:
    for number in range(1, 8):
        await payments.deposit(ANN, won(number))
        await payments.deposit(BOB, won(100 + number))
    first = await payments.entries(ANN, limit=3)
    assert [each.amount.amount for each in first.items] == [7, 6, 5]
    await payments.deposit(ANN, won(1_000))  # does not move what follows
    second = await payments.entries(ANN, first.next, limit=3)
    assert [each.amount.amount for each in second.items] == [4, 3, 2]
    last = await payments.entries(ANN, second.next, limit=3)
    assert [each.amount.amount for each in last.items] == [1]
    assert last.next is None
    assert (await payments.entries(BOB, first.next)).items == []
    assert (await payments.entries(ANN, payment_id(1))).items == []


async def test_newest_is_what_has_changed_the_wallet_last(
    payments: PaymentService, repository: PaymentRepository
) -> None:
    """Processes whose clocks differ make identifiers in another order."""
    for number in (5, 9, 1):
        async with repository.unit_of_work():
            wallet = await repository.hold_wallet(ANN, "KRW")
            await repository.record(wallet.deposit(UUID(int=number), won(number)))
    assert await lines_of(payments) == [("deposit", 1, 15), ("deposit", 9, 14), ("deposit", 5, 5)]
    page = await payments.entries(ANN, UUID(int=9))
    assert [each.entry_id.int for each in page.items] == [5]


async def test_money_in_another_currency_stays_where_it_is(
    payments: PaymentService, repository: PaymentRepository, rules: Mapping[str, Rule]
) -> None:
    """The operator has changed the shop's currency, and later changes it back."""
    dollars = PaymentService(repository, "USD", {**rules, "currency": lambda _: None})
    await payments.deposit(ANN, won(100))
    await payments.charge(charge_of(1, 30))
    assert (await dollars.wallet(ANN)).balance == Money(0, "USD")
    assert (await dollars.entries(ANN)).items == []
    assert await dollars.charge(Charge(payment_id(2), ANN, Money(30, "USD"))) is DECLINED
    await dollars.deposit(ANN, Money(5, "USD"))
    assert await dollars.refund(payment_id(1)) is REFUNDED
    assert await balance_of(payments) == 100
    assert (await dollars.wallet(ANN)).balance == Money(5, "USD")
    for each in (payments, dollars):
        await require_soundness(each)


async def test_a_unit_of_work_is_all_or_nothing(
    payments: PaymentService, repository: PaymentRepository
) -> None:
    await payments.deposit(ANN, won(100))

    async def charge_and_fail() -> None:
        async with repository.unit_of_work():
            assert await repository.claim_payment(payment_id(1)) is None
            wallet = await repository.hold_wallet(ANN, "KRW")
            await repository.record(wallet.charge(charge_of(1, 30)))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await charge_and_fail()
    assert await lines_of(payments) == [("deposit", 100, 100)]
    assert await payments.refund(payment_id(1)) is NOTHING_TO_REFUND
    await require_soundness(payments)


async def test_a_claim_that_decides_nothing_leaves_no_payment(
    payments: PaymentService, repository: PaymentRepository
) -> None:
    async with repository.unit_of_work():
        assert await repository.claim_payment(payment_id(1)) is None
    assert await payments.charge(charge_of(1, 30)) is DECLINED


async def test_each_write_records_what_has_happened(
    memory: MemoryPaymentRepository, rules: Mapping[str, Rule]
) -> None:
    payments = PaymentService(memory, "KRW", rules)
    deposit = await payments.deposit(ANN, won(100))
    for _ in range(2):
        await payments.charge(charge_of(1, 30))
        await payments.charge(charge_of(2, 71))
        await payments.refund(payment_id(3))
    for _ in range(2):
        await payments.refund(payment_id(1))
    assert memory.kept.events == [
        WalletDeposited(deposit),
        PaymentCharged(Payment(payment_id(1), PaymentStatus.CHARGED, ANN, won(30))),
        PaymentDeclined(Payment(payment_id(2), PaymentStatus.DECLINED, ANN, won(71))),
        PaymentCancelled(Payment(payment_id(3), PaymentStatus.CANCELLED)),
        PaymentRefunded(Payment(payment_id(1), PaymentStatus.REFUNDED, ANN, won(30))),
    ]


# Everything at once


@pytest.mark.races
async def test_of_50_charges_a_wallet_pays_the_7_that_it_can(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(79))
    outcomes = await asyncio.gather(*(payments.charge(charge_of(number, 11)) for number in range(50)))
    assert Counter(outcomes) == {CHARGED: 7, DECLINED: 43}
    assert await balance_of(payments) == 2
    again = await asyncio.gather(*(payments.charge(charge_of(number, 11)) for number in range(50)))
    assert again == outcomes
    await require_soundness(payments)


@pytest.mark.races
async def test_many_equal_charges_at_once_charge_once(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    outcomes = await asyncio.gather(*(payments.charge(charge_of(1, 30)) for _ in range(30)))
    assert set(outcomes) == {CHARGED}
    assert await lines_of(payments) == [("charge", -30, 70), ("deposit", 100, 100)]
    await require_soundness(payments)


@pytest.mark.races
async def test_a_charge_and_its_refund_at_once_leave_the_money_where_it_was(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))

    async def charge_and_refund(number: int) -> tuple[ChargeOutcome, RefundOutcome]:
        """Now the one is first to ask, now the other."""
        charge, refund = payments.charge(charge_of(number, 30)), payments.refund(payment_id(number))
        if number % 2:
            charged, refunded = await asyncio.gather(charge, refund)
        else:
            refunded, charged = await asyncio.gather(refund, charge)
        return charged, refunded

    for number in range(20):
        outcomes = await charge_and_refund(number)
        assert outcomes in [(CHARGED, REFUNDED), (ALREADY_CANCELLED, NOTHING_TO_REFUND)]
        assert await payments.charge(charge_of(number, 30)) is ALREADY_CANCELLED
        assert await balance_of(payments) == 100
    await require_soundness(payments)


@pytest.mark.races
async def test_many_refunds_at_once_refund_once(payments: PaymentService) -> None:
    await payments.deposit(ANN, won(100))
    await payments.charge(charge_of(1, 30))
    outcomes = await asyncio.gather(*(payments.refund(payment_id(1)) for _ in range(30)))
    assert set(outcomes) == {REFUNDED}
    assert await balance_of(payments) == 100
    await require_soundness(payments)


@pytest.mark.races
async def test_first_deposits_at_once_all_count(payments: PaymentService) -> None:
    deposits = await asyncio.gather(*(payments.deposit(ANN, won(10)) for _ in range(20)))
    assert sorted(each.balance.amount for each in deposits) == [10 * number for number in range(1, 21)]
    await require_soundness(payments)


@pytest.mark.races
async def test_whatever_happens_at_once_adds_up(payments: PaymentService) -> None:
    """Two wallets, ten payments; each is charged twice, some are refunded, and deposits come in."""
    users = (ANN, BOB)
    work: list[Awaitable[object]] = [
        *(payments.deposit(users[number % 2], won(20)) for number in range(6)),
        *(payments.charge(charge_of(number % 10, 15, users[number % 2])) for number in range(20)),
        *(payments.refund(payment_id(number)) for number in range(0, 10, 3)),
    ]
    await asyncio.gather(*work)
    await require_soundness(payments)
    lines = [*await lines_of(payments), *await lines_of(payments, BOB)]
    assert all(balance >= 0 for _, _, balance in lines)
