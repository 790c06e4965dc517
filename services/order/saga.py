"""The saga of an order, from top to bottom: what is done, how it is undone, and who decides.

The order is placed; its goods are set aside; its total is taken out of the wallet; the goods leave, which is
the pivot; the order is confirmed. When a step is refused, those above it are compensated, from bottom to top,
and the order ends cancelled. What the three kinds of steps may and must do is told in shared/saga.py, and how
they are carried out in service/orchestrator.py.
"""

from services.order.domain.fulfilment import Answer, Call, Command, Decision, Participants
from services.order.domain.orders import Order, OrderEvent, OrderPlaced
from shared.saga import Kind, Saga, Step

PATIENCE = 15.0  # seconds: a restart of anything takes less, and nobody wants to wait longer for a "no"


def _costs_something(order: Order) -> bool:
    return order.total.amount > 0  # nothing is paid for a gift


def _place(order: Order, _: str) -> OrderEvent:
    return OrderPlaced(order)


def _cancel(order: Order, reason: str) -> OrderEvent:
    return order.cancel(reason)


async def _reserve(those: Participants, order: Order) -> Answer:
    return await those.inventory.reserve(order)


async def _release(those: Participants, order: Order) -> Answer:
    return await those.inventory.release(order)


async def _charge(those: Participants, order: Order) -> Answer:
    return await those.wallets.charge(order)


async def _refund(those: Participants, order: Order) -> Answer:
    return await those.wallets.refund(order)


async def _commit(those: Participants, order: Order) -> Answer:
    return await those.inventory.commit(order)


def _confirm(order: Order, _: str) -> OrderEvent:
    return order.confirm()


PLACE_ORDER, CANCEL_ORDER = Decision("place_order", _place), Decision("cancel_order", _cancel)
RESERVE_STOCK = Call("reserve_stock", "inventory", _reserve)
RELEASE_STOCK = Call("release_stock", "inventory", _release)
CHARGE_WALLET = Call("charge_wallet", "payment", _charge, _costs_something)
REFUND_WALLET = Call("refund_wallet", "payment", _refund, _costs_something)
COMMIT_STOCK = Call("commit_stock", "inventory", _commit)
CONFIRM_ORDER = Decision("confirm_order", _confirm)

# fmt: off
ORDER_SAGA: Saga[Command] = Saga((
    #    command        kind                compensation   abandoned after
    Step(PLACE_ORDER,   Kind.COMPENSATABLE, CANCEL_ORDER),
    Step(RESERVE_STOCK, Kind.COMPENSATABLE, RELEASE_STOCK, PATIENCE),
    Step(CHARGE_WALLET, Kind.COMPENSATABLE, REFUND_WALLET, PATIENCE),
    Step(COMMIT_STOCK,  Kind.PIVOT),
    Step(CONFIRM_ORDER, Kind.RETRIABLE),
))
# fmt: on
