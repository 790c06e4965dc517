"""What payments report to other services: domain events → messages of the contracts.

A payment's events are about the payment, so its refund never overtakes its charge. It needs no version: of
two of its states, REFUNDED is the later one. A deposit's event is about the deposit and not about the wallet:
a wallet's deposits would come in order among themselves, but not with what is paid out of it, and so would
look like its history and not be one.
"""

from shop.payment.v1 import events_pb2 as messages
from shop.payment.v1.payment_pb2 import Payment as PaymentMessage
from shop.payment.v1.payment_pb2 import PaymentStatus

from services.payment.domain.payments import (
    Deposit,
    Payment,
    PaymentCancelled,
    PaymentCharged,
    PaymentDeclined,
    PaymentEvent,
    PaymentRefunded,
    WalletDeposited,
)
from shared.events.outbox import Report
from shared.rpc.values import money_message

_KINDS = {
    PaymentCharged: messages.PaymentCharged,
    PaymentDeclined: messages.PaymentDeclined,
    PaymentRefunded: messages.PaymentRefunded,
    PaymentCancelled: messages.PaymentCancelled,
}


def reports(event: PaymentEvent) -> list[Report]:
    """One, with the payment as it then is, or with the deposit."""
    if isinstance(event, WalletDeposited):
        return [_deposit_report(event.deposit)]
    message = _KINDS[type(event)](payment=payment_message(event.payment))
    return [Report(str(event.payment.payment_id), message)]


def payment_message(payment: Payment) -> PaymentMessage:
    """A payment as other services see it."""
    return PaymentMessage(
        payment_id=str(payment.payment_id),
        user_id=str(payment.user_id) if payment.user_id else "",
        amount=money_message(payment.amount) if payment.amount else None,
        status=PaymentStatus.Value(f"PAYMENT_STATUS_{payment.status}"),
    )


def _deposit_report(deposit: Deposit) -> Report:
    """The deposit alone: what the wallet holds with it is told to its user and nobody else."""
    message = messages.WalletDeposited(
        deposit_id=str(deposit.deposit_id),
        user_id=str(deposit.user_id),
        amount=money_message(deposit.amount),
    )
    return Report(str(deposit.deposit_id), message)
