"""What orders report to other services: domain events → messages of the contracts."""

from shop.order.v1 import events_pb2 as messages
from shop.order.v1.order_pb2 import Order as OrderMessage
from shop.order.v1.order_pb2 import OrderItem as OrderItemMessage
from shop.order.v1.order_pb2 import OrderStatus as OrderStatusMessage

from services.order.domain.orders import (
    Order,
    OrderCancelled,
    OrderConfirmed,
    OrderEvent,
    OrderItem,
    OrderPlaced,
)
from shared.events.outbox import Report
from shared.rpc.values import money_message, timestamp

_KINDS = {
    OrderPlaced: messages.OrderPlaced,
    OrderConfirmed: messages.OrderConfirmed,
    OrderCancelled: messages.OrderCancelled,
}


def reports(event: OrderEvent) -> list[Report]:
    """One, with the order as it then is."""
    message = _KINDS[type(event)](order=order_message(event.order))
    return [Report(str(event.order.order_id), message)]


def order_message(order: Order) -> OrderMessage:
    """An order as other services see it."""
    return OrderMessage(
        order_id=str(order.order_id),
        user_id=str(order.user_id),
        status=OrderStatusMessage.Value(f"ORDER_STATUS_{order.status}"),
        reason=order.reason,
        items=map(_item_message, order.items),
        total=money_message(order.total),
        version=order.version,
        placed_at=timestamp(order.placed_at),
    )


def _item_message(item: OrderItem) -> OrderItemMessage:
    return OrderItemMessage(
        product_id=str(item.product_id),
        product_name=item.product_name,
        quantity=item.quantity,
        unit_price=money_message(item.unit_price),
    )
