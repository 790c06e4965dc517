"""Values that many messages hold ↔ what the domains make of them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp
from shop.common.v1.money_pb2 import Money as MoneyMessage

from shared.money import Money


def money_message(money: Money) -> MoneyMessage:
    """An amount, to be sent."""
    return MoneyMessage(amount=money.amount, currency=money.currency)


def read_money(message: MoneyMessage) -> Money:
    """An amount that was sent; nothing has been checked."""
    return Money(message.amount, message.currency)


def timestamp(moment: datetime) -> Timestamp:
    """A moment, to be sent."""
    message = Timestamp()
    message.FromDatetime(moment)
    return message
