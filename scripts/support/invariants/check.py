"""All of it, in an order of reading that raises no false alarm while services are at work.

Three databases are never looked at in the same moment. Order is the first: what makes an order final has
happened to its payment and its reservation before, and they stay like that. But a payment or a reservation
that belongs to no order may belong to one that was placed meanwhile: so orders are then looked at again.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

from scripts.support.events.services import consumers, publishers
from scripts.support.invariants.books import CHAT, LEDGER, PUBLISHED, STOCK, TAKEN_IN, Line, audited
from scripts.support.invariants.findings import Finding, Tally
from scripts.support.invariants.purchases import Purchase, purchase_rules
from scripts.support.invariants.readings import purchases
from scripts.support.invariants.snapshots import Snapshot, snapshot
from services.order.clients import payment_of, reservation_of
from shared.config import Environment

AGE_SECONDS = 60.0  # for an order to become final


@dataclass(frozen=True, slots=True)
class Belonging:
    """What must belong to an order: a query for all that there are, and under which key an order has one."""

    what: str
    all_of_them: str
    key_of: Callable[[UUID], str]


CHARGES = Belonging(
    "a charge belongs to an order",
    "SELECT payment_id::text FROM payments WHERE status = 'CHARGED'",
    payment_of,
)
GOODS = Belonging(
    "goods that are set aside, or have left, belong to an order",
    "SELECT reservation_id::text FROM reservations WHERE status IN ('RESERVED', 'COMMITTED')",
    reservation_of,
)


def check(environment: Environment, age: float = AGE_SECONDS, *, published: bool = False) -> list[Finding]:
    """All findings, sound or not. An order has `age` seconds to become final.

    That events wait to be published is wrong only if they should all be `published`. Raises SetupError when a
    database cannot be looked at.
    """
    with ExitStack() as stack:
        order, payment, inventory = (
            stack.enter_context(snapshot(environment, name)) for name in ("order", "payment", "inventory")
        )
        findings, orders = _about_purchases(purchases(order, payment, inventory, age), age)
        findings += [
            _about(CHARGES, payment, orders, environment),
            _about(GOODS, inventory, orders, environment),
            *audited(LEDGER, payment),
            *audited(STOCK, inventory),
        ]
    with snapshot(environment, "chat") as chat:
        findings += audited(CHAT, chat)
    findings += _everywhere(TAKEN_IN, consumers(), environment)
    if published:
        findings += _everywhere(PUBLISHED, publishers(), environment)
    return findings


def _everywhere(line: Line, names: Iterable[str], environment: Environment) -> list[Finding]:
    """One finding about what several services keep."""
    with ExitStack() as stack:
        return list(audited([line], *(stack.enter_context(snapshot(environment, name)) for name in names)))


def _about_purchases(found: Iterable[Purchase], age: float) -> tuple[list[Finding], set[UUID]]:
    """What is found of all purchases, and the orders that they are."""
    rules, orders = [(rule, Tally(rule.what)) for rule in purchase_rules(age)], set[UUID]()
    for purchase in found:
        orders.add(purchase.order_id)
        for rule, tally in rules:
            if rule.concerns(purchase):
                tally.look_at()
                if fault := rule.fault(purchase):
                    tally.blame(f"{purchase.order_id} {fault}")
    return [tally.finding() for _, tally in rules], orders


def _about(belonging: Belonging, owner: Snapshot, orders: set[UUID], environment: Environment) -> Finding:
    tally = Tally(belonging.what)
    found = {row[0] for row in owner.every(belonging.all_of_them)}
    tally.look_at(len(found))
    strays = found - set(map(belonging.key_of, orders))
    if strays:
        strays -= set(map(belonging.key_of, _orders_by_now(environment)))
    for stray in sorted(strays):
        tally.blame(stray)
    return tally.finding()


def _orders_by_now(environment: Environment) -> Iterator[UUID]:
    with snapshot(environment, "order") as order:
        for batch in order.batches("SELECT order_id FROM orders"):
            yield from (row[0] for row in batch)
