"""What is told of payments and deposits, and that it is told if and only if it has happened."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from google.protobuf.message import Message as ProtobufMessage
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.payment.v1 import events_pb2 as messages
from shop.payment.v1 import payment_pb2 as pb

from services.payment.domain.payments import (
    Charge,
    Deposit,
    Payment,
    PaymentEvent,
    PaymentStatus,
    RefundOutcome,
    WalletDeposited,
    cancel_payment,
)
from services.payment.events import payment_message, reports
from services.payment.service import PaymentService
from shared.db.database import Database
from shared.db.statements import execute
from shared.events.envelope import Envelope, unseal
from shared.events.outbox import Report
from shared.money import Money
from shared.rules import Rule
from tests.services.events import in_the_outbox
from tests.services.payment.conftest import payments_in

ANN = UUID(int=0xA)
ID = UUID(int=1001)
THIRTY, MUCH = Money(30, "KRW"), Money(101, "KRW")
CHARGED = Payment(ID, PaymentStatus.CHARGED, ANN, THIRTY)


# As messages


@pytest.mark.parametrize("status", PaymentStatus)
def test_a_payment_is_told_whole(status: PaymentStatus) -> None:
    assert payment_message(Payment(ID, status, ANN, THIRTY)) == pb.Payment(
        payment_id=str(ID),
        user_id=str(ANN),
        amount=MoneyMessage(amount=30, currency="KRW"),
        status=pb.PaymentStatus.Value(f"PAYMENT_STATUS_{status}"),
    )


@pytest.mark.parametrize("kind", [each for each in get_args(PaymentEvent) if each is not WalletDeposited])
def test_every_event_of_a_payment_is_about_it_and_under_its_own_name(kind: Any) -> None:
    told = getattr(messages, kind.__name__)(payment=payment_message(CHARGED))
    assert reports(kind(CHARGED)) == [Report(str(ID), told)]


def test_what_was_cancelled_before_it_was_made_has_neither_user_nor_amount() -> None:
    (report,) = reports(cancel_payment(ID))
    payment = pb.Payment(payment_id=str(ID), status=pb.PAYMENT_STATUS_CANCELLED)
    assert report == Report(str(ID), messages.PaymentCancelled(payment=payment))
    assert not payment.HasField("amount")


def test_a_deposit_is_told_without_what_the_wallet_holds() -> None:
    told = messages.WalletDeposited(
        deposit_id=str(ID), user_id=str(ANN), amount=MoneyMessage(amount=30, currency="KRW")
    )
    deposited = WalletDeposited(Deposit(ID, ANN, THIRTY, balance=Money(90, "KRW")))
    assert reports(deposited) == [Report(str(ID), told)]


def test_the_contract_knows_every_event() -> None:
    ours = {each.__name__ for each in get_args(PaymentEvent)}
    assert ours == {*messages.DESCRIPTOR.message_types_by_name}


# In the outbox


@pytest.fixture
def payments(database: Database, rules: Mapping[str, Rule]) -> PaymentService:
    return PaymentService(payments_in(database), "KRW", rules)


def payment(number: int) -> UUID:
    return UUID(int=number)


def contents(envelope: Envelope) -> ProtobufMessage:
    kind: type[ProtobufMessage] = getattr(messages, envelope.type.rpartition(".")[2])
    return unseal(envelope, kind)


async def test_what_happens_is_told_as_it_then_was(database: Database, payments: PaymentService) -> None:
    deposit = await payments.deposit(ANN, Money(100, "KRW"))
    await payments.charge(Charge(ID, ANN, THIRTY))
    await payments.charge(Charge(payment(1002), ANN, MUCH))
    await payments.refund(ID)
    await payments.refund(payment(1003))
    charged, declined = payment_message(CHARGED), Payment(payment(1002), PaymentStatus.DECLINED, ANN, MUCH)
    refunded = pb.Payment()
    refunded.CopyFrom(charged)
    refunded.status = pb.PAYMENT_STATUS_REFUNDED
    cancelled = pb.Payment(payment_id=str(payment(1003)), status=pb.PAYMENT_STATUS_CANCELLED)

    told = await in_the_outbox(database)
    assert {each.source for each in told} == {"/payment"}
    assert [Report(each.subject, contents(each)) for each in told] == [
        *reports(WalletDeposited(deposit)),
        Report(str(ID), messages.PaymentCharged(payment=charged)),
        Report(str(payment(1002)), messages.PaymentDeclined(payment=payment_message(declined))),
        Report(str(ID), messages.PaymentRefunded(payment=refunded)),
        Report(str(payment(1003)), messages.PaymentCancelled(payment=cancelled)),
    ]


async def kinds(database: Database) -> list[str]:
    return [each.type.rpartition(".")[2] for each in await in_the_outbox(database)]


async def test_what_is_asked_again_is_told_once(database: Database, payments: PaymentService) -> None:
    await payments.deposit(ANN, Money(100, "KRW"))
    for number in (1, 2, 3):
        for _ in range(2):
            await payments.charge(Charge(payment(number), ANN, Money(40, "KRW")))
    for number in (1, 3, 4):
        for _ in range(2):
            await payments.refund(payment(number))
    charges = ["PaymentCharged", "PaymentCharged", "PaymentDeclined"]
    assert await kinds(database) == ["WalletDeposited", *charges, "PaymentRefunded", "PaymentCancelled"]


@asynccontextmanager
async def full_outbox(database: Database) -> AsyncIterator[None]:
    """It takes no more; until the end of the block, since all tests here have one database."""
    await execute(database, "ALTER TABLE outbox ADD CONSTRAINT is_full CHECK (false) NOT VALID")
    try:
        yield
    finally:
        await execute(database, "ALTER TABLE outbox DROP CONSTRAINT is_full")


async def test_what_cannot_be_told_does_not_happen(database: Database, payments: PaymentService) -> None:
    await payments.deposit(ANN, Money(100, "KRW"))
    await payments.charge(Charge(ID, ANN, THIRTY))
    async with full_outbox(database):
        for attempt in (
            payments.deposit(ANN, THIRTY),
            payments.charge(Charge(payment(1002), ANN, THIRTY)),
            payments.charge(Charge(payment(1003), ANN, MUCH)),
            payments.refund(payment(1004)),
            payments.refund(ID),
        ):
            with pytest.raises(psycopg.errors.CheckViolation):
                await attempt
    assert await kinds(database) == ["WalletDeposited", "PaymentCharged"]
    assert (await payments.wallet(ANN)).balance == Money(70, "KRW")
    assert (await payments.trial_balance()).is_sound
    assert await payments.refund(ID) is RefundOutcome.REFUNDED


async def test_what_is_undone_is_not_told(database: Database, payments: PaymentService) -> None:
    async def charge_and_fail() -> None:
        async with payments_in(database).unit_of_work():
            await payments.charge(Charge(ID, ANN, THIRTY))
            assert await kinds(database) == ["PaymentDeclined"]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await charge_and_fail()
    assert await kinds(database) == []


@pytest.mark.races
async def test_of_each_payment_events_are_in_the_order_in_which_they_happened(
    database: Database, payments: PaymentService
) -> None:
    await payments.deposit(ANN, Money(100, "KRW"))
    charges = [Charge(payment(number), ANN, Money(1, "KRW")) for number in range(20)]
    await asyncio.gather(
        *(payments.charge(each) for each in charges[:10]),
        *(payments.refund(each.payment_id) for each in charges),
        *(payments.charge(each) for each in charges[10:]),
    )
    histories = defaultdict[str, list[str]](list)
    for each in (await in_the_outbox(database))[1:]:
        histories[each.subject].append(each.type.rpartition(".Payment")[2])
    assert len(histories) == 20
    assert all(each in (["Charged", "Refunded"], ["Cancelled"]) for each in histories.values())
