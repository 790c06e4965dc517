"""What an order must be to its saga, to its payment and to its reservation. Pure.

An order from before there were sagas has none, if nothing was ever done for it: it was cancelled at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from services.order.domain.orders import REQUESTED, OrderStatus
from services.order.saga import ORDER_SAGA
from shared.saga import Entry, ImpossibleLog

Items = frozenset[tuple[str, int]]  # a product's identifier, and how many pieces


@dataclass(frozen=True, slots=True)
class Saga:
    """As it is kept: `position` counts the entries that it says it has."""

    position: int
    has_ended: bool
    log: tuple[tuple[int, Entry], ...]


@dataclass(frozen=True, slots=True)
class Payment:
    """What payment has under the order's key; user, amount and currency are None when it never was made."""

    status: str
    user_id: str | None
    amount: int | None
    currency: str | None


@dataclass(frozen=True, slots=True)
class Reservation:
    """What inventory has under the order's key."""

    status: str
    items: Items


@dataclass(frozen=True, slots=True)
class Purchase:
    """An order, and what three services know of it. `is_late` when it should be final by now."""

    order_id: UUID
    user_id: str
    amount: int
    currency: str
    status: str
    reason: str
    is_late: bool
    items: Items
    saga: Saga | None
    payment: Payment | None = None
    reservation: Reservation | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing will become of it any more."""
        return self.status != OrderStatus.PENDING


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of the purchases that it concerns, and in words what is wrong with one, if anything."""

    what: str
    concerns: Callable[[Purchase], bool]
    fault: Callable[[Purchase], str]


def _is_confirmed(purchase: Purchase) -> bool:
    return purchase.status == OrderStatus.CONFIRMED


def _is_cancelled(purchase: Purchase) -> bool:
    return purchase.status == OrderStatus.CANCELLED


def _has_saga(purchase: Purchase) -> bool:
    return purchase.saga is not None


def _lateness(purchase: Purchase) -> str:
    return "is still pending" if purchase.is_late and not purchase.is_final else ""


def _saga_fault(purchase: Purchase) -> str:
    if purchase.saga is None:
        is_older_than_sagas = _is_cancelled(purchase) and purchase.reason == REQUESTED
        return "" if is_older_than_sagas else f"is {purchase.status} without a saga"
    if purchase.saga.has_ended == purchase.is_final:
        return ""
    return f"is {purchase.status}, its saga {'has ended' if purchase.saga.has_ended else 'has not'}"


def _log_fault(purchase: Purchase) -> str:
    saga = purchase.saga
    assert saga is not None
    if [number for number, _ in saga.log] != list(range(1, saga.position + 1)):
        return f"has {len(saga.log)} entries of {saga.position} in its log, or not from 1 on"
    try:
        state = ORDER_SAGA.state([entry for _, entry in saga.log])
    except ImpossibleLog as impossible:
        return f"has a log that cannot be: {impossible}"
    if state.next is not None:
        return f"is {purchase.status} before {state.next.name}" if purchase.is_final else ""
    told = OrderStatus.CANCELLED if state.reason else OrderStatus.CONFIRMED
    if (told, state.reason) == (purchase.status, purchase.reason):
        return ""
    return f"is {purchase.status} {purchase.reason}, its log says {told} {state.reason}"


def _price_fault(purchase: Purchase) -> str:
    if not purchase.amount:
        is_charged = purchase.payment is not None and purchase.payment.status == "CHARGED"
        return f"is free, and {_paid(purchase.payment)}" if is_charged else ""
    due = Payment("CHARGED", purchase.user_id, purchase.amount, purchase.currency)
    return "" if purchase.payment == due else f"{_paid(purchase.payment)}, not {_paid(due)}"


def _goods_fault(purchase: Purchase) -> str:
    due = Reservation("COMMITTED", purchase.items)
    if purchase.reservation == due:
        return ""
    if purchase.reservation is not None and purchase.reservation.status == due.status:
        return "other goods than were ordered"
    return _reserved(purchase.reservation)


def _cost_fault(purchase: Purchase) -> str:
    is_free = purchase.payment is None or purchase.payment.status in ("DECLINED", "REFUNDED", "CANCELLED")
    return "" if is_free else _paid(purchase.payment)


def _hold_fault(purchase: Purchase) -> str:
    reservation = purchase.reservation
    is_let_go = reservation is None or reservation.status in ("REFUSED", "RELEASED", "EXPIRED")
    return "" if is_let_go else _reserved(reservation)


def _paid(payment: Payment | None) -> str:
    if payment is None:
        return "no payment"
    return f"{payment.status} {payment.amount} {payment.currency} of user {payment.user_id}"


def _reserved(reservation: Reservation | None) -> str:
    return "no reservation" if reservation is None else f"reservation {reservation.status}"


def purchase_rules(age: float) -> tuple[Rule, ...]:
    """All of them. An order has `age` seconds to become final."""
    return (
        Rule(f"an order is final, or younger than {age:g} s", lambda _: True, _lateness),
        Rule("a saga has ended once its order is final, and not before", lambda _: True, _saga_fault),
        Rule("a saga's log is one that can be, and ends as its order does", _has_saga, _log_fault),
        Rule("a confirmed order has been paid for once, all of it, by its user", _is_confirmed, _price_fault),
        Rule("a confirmed order's goods have left once, and no others", _is_confirmed, _goods_fault),
        Rule("a cancelled order has cost nothing", _is_cancelled, _cost_fault),
        Rule("a cancelled order holds no goods, and none have left", _is_cancelled, _hold_fault),
    )
