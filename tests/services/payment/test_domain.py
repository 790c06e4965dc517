from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payment.domain.ledger import (
    Account,
    Entry,
    Movement,
    MovementKind,
    TrialBalance,
    movement_of,
)
from services.payment.domain.payments import (
    Charge,
    ChargeOutcome,
    Deposit,
    Payment,
    PaymentCancelled,
    PaymentCharged,
    PaymentDeclined,
    PaymentRefunded,
    PaymentStatus,
    RefundOutcome,
    Wallet,
    WalletDeposited,
    cancel_payment,
)
from shared.errors import Conflict, Invalid
from shared.money import MAX_AMOUNT, Money, money_fields
from shared.rules import Rule, check

ANN = UUID("018cc251-f400-7000-8000-0000000000a1")
BOB = UUID("018cc251-f400-7000-8000-0000000000b1")
ID = UUID("018cc251-f400-7000-8000-000000000001")


def won(amount: int) -> Money:
    return Money(amount, "KRW")


CHARGE = Charge(ID, ANN, won(30))
CHARGED = Payment(ID, PaymentStatus.CHARGED, ANN, won(30))
DECLINED = Payment(ID, PaymentStatus.DECLINED, ANN, won(30))
REFUNDED = Payment(ID, PaymentStatus.REFUNDED, ANN, won(30))
CANCELLED = Payment(ID, PaymentStatus.CANCELLED)


def test_a_deposit_adds_to_what_is_there() -> None:
    event = Wallet(ANN, won(5), deposited=12).deposit(ID, won(7))
    assert event == WalletDeposited(Deposit(ID, ANN, won(7), balance=won(12)))


def test_a_wallet_takes_in_so_much_and_no_more() -> None:
    full = Wallet(ANN, won(0)).deposit(ID, won(MAX_AMOUNT))
    assert full.deposit.balance == won(MAX_AMOUNT)
    with pytest.raises(Conflict) as refused:
        Wallet(ANN, won(MAX_AMOUNT), MAX_AMOUNT).deposit(ID, won(1))
    assert refused.value.code == "wallet-full"


def test_what_has_been_paid_still_counts_as_deposited_so_that_it_can_come_back() -> None:
    with pytest.raises(Conflict):
        Wallet(ANN, won(MAX_AMOUNT - 30), MAX_AMOUNT).deposit(ID, won(1))


@pytest.mark.parametrize(("balance", "pays"), [(0, False), (29, False), (30, True), (31, True)])
def test_a_wallet_pays_what_it_holds(balance: int, *, pays: bool) -> None:
    event = Wallet(ANN, won(balance)).charge(CHARGE)
    assert event == (PaymentCharged(CHARGED) if pays else PaymentDeclined(DECLINED))


@pytest.mark.parametrize(
    ("payment", "outcome"),
    [
        (CHARGED, ChargeOutcome.CHARGED),
        (DECLINED, ChargeOutcome.DECLINED),
        (REFUNDED, ChargeOutcome.ALREADY_CANCELLED),
        (CANCELLED, ChargeOutcome.ALREADY_CANCELLED),
    ],
)
def test_what_a_charge_is_told(payment: Payment, outcome: ChargeOutcome) -> None:
    assert payment.outcome_of(CHARGE) is outcome


@pytest.mark.parametrize("payment", [CHARGED, DECLINED, REFUNDED])
@pytest.mark.parametrize(
    "other", [Charge(ID, BOB, won(30)), Charge(ID, ANN, won(31)), Charge(ID, ANN, Money(30, "USD"))]
)
def test_an_identifier_is_good_for_one_payment(payment: Payment, other: Charge) -> None:
    with pytest.raises(Conflict) as refused:
        payment.outcome_of(other)
    assert refused.value.code == "other-payment"


def test_who_is_charged_too_late_is_told_so_whatever_they_ask() -> None:
    assert CANCELLED.outcome_of(Charge(ID, BOB, won(1))) is ChargeOutcome.ALREADY_CANCELLED


@pytest.mark.parametrize(
    ("payment", "event"),
    [(CHARGED, PaymentRefunded(REFUNDED)), (DECLINED, None), (REFUNDED, None), (CANCELLED, None)],
)
def test_only_what_was_charged_is_refunded(payment: Payment, event: PaymentRefunded | None) -> None:
    assert payment.refund() == event


@pytest.mark.parametrize(
    ("payment", "outcome"),
    [
        (DECLINED, RefundOutcome.NOTHING_TO_REFUND),
        (REFUNDED, RefundOutcome.REFUNDED),
        (CANCELLED, RefundOutcome.NOTHING_TO_REFUND),
    ],
)
def test_what_a_refund_is_told(payment: Payment, outcome: RefundOutcome) -> None:
    assert payment.refund_outcome is outcome


def test_what_was_not_made_yet_never_will_be() -> None:
    assert cancel_payment(ID) == PaymentCancelled(CANCELLED)


def test_what_moves_with_each_event() -> None:
    deposited = WalletDeposited(Deposit(ID, ANN, won(30), balance=won(90)))
    assert movement_of(deposited) == Movement(MovementKind.DEPOSIT, ANN, won(30), ID)
    assert movement_of(PaymentCharged(CHARGED)) == Movement(MovementKind.CHARGE, ANN, won(30), ID)
    assert movement_of(PaymentRefunded(REFUNDED)) == Movement(MovementKind.REFUND, ANN, won(30), ID)
    assert movement_of(PaymentDeclined(DECLINED)) is None
    assert movement_of(PaymentCancelled(CANCELLED)) is None


@pytest.mark.parametrize(
    ("kind", "giver", "taker"),
    [
        (MovementKind.DEPOSIT, Account.OUTSIDE, Account.WALLET),
        (MovementKind.CHARGE, Account.WALLET, Account.SALES),
        (MovementKind.REFUND, Account.SALES, Account.WALLET),
    ],
)
def test_where_money_comes_from_and_where_it_goes(kind: MovementKind, giver: Account, taker: Account) -> None:
    assert Movement(kind, ANN, won(30), ID).entries == (Entry(giver, -30), Entry(taker, 30))


@given(st.sampled_from(MovementKind), st.integers(1, MAX_AMOUNT))
def test_every_movement_adds_up_to_zero(kind: MovementKind, amount: int) -> None:
    assert sum(entry.amount for entry in Movement(kind, ANN, won(amount), ID).entries) == 0


@pytest.mark.parametrize(
    ("balance", "is_sound"),
    [
        (TrialBalance(-100, 70, 30), True),
        (TrialBalance(-100, 70, 31), False),
        (TrialBalance(-100, 70, 30, unbalanced_movements=[ID]), False),
        (TrialBalance(-100, 70, 30, wrong_wallets=[ANN]), False),
        (TrialBalance(-100, 70, 30, wrong_payments=[ID]), False),
    ],
)
def test_when_everything_adds_up(balance: TrialBalance, *, is_sound: bool) -> None:
    assert balance.is_sound is is_sound


@pytest.mark.parametrize(
    ("amount", "fault"), [(1, False), (MAX_AMOUNT, False), (0, True), (MAX_AMOUNT + 1, True)]
)
def test_amounts(rules: Mapping[str, Rule], amount: int, *, fault: bool) -> None:
    assert (rules["amount"](amount) is not None) is fault


def test_every_bad_field_is_named(rules: Mapping[str, Rule]) -> None:
    with pytest.raises(Invalid) as refused:
        check(money_fields(Money(0, "USD")), rules)
    assert [each.field for each in refused.value.fields] == ["amount", "currency"]
