"""`./scripts/saga show`: an order, what has been done for it step by step, and who was told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from scripts.support.admin.text import shown, table, time
from scripts.support.saga.standings import Standing, opened_service, order_named, standing_of
from scripts.support.saga.words import (
    KINDS,
    direction_in_words,
    due_in_words,
    next_in_words,
    problem_in_words,
    span,
)
from services.order.clients import payment_of, reservation_of
from services.order.domain.orders import Order
from services.order.repository.orders import PostgresOrderRepository
from shared.config import Environment
from shared.db.database import Database
from shared.db.statements import every
from shared.events.envelope import Envelope, decode
from shared.events.outbox import KEPT, Outbox

STEP_HEADS = ("STEP", "KIND", "OUTCOME", "REASON", "ATTEMPTS", "TOOK", "AT")
EVENT_HEADS = ("EVENT", "OF", "AT", "PUBLISHED")

_STEPS = """
    SELECT action, outcome, reason, attempts,
        extract(epoch FROM ended_at - began_at)::float * 1000, ended_at
    FROM saga_log WHERE order_id = %s ORDER BY position"""
_EVENTS = "SELECT value, published_at FROM outbox WHERE key = %s"


@dataclass(frozen=True, slots=True)
class Told:
    """An event in a service's outbox; `published_at` is None while it waits."""

    service: str
    name: str
    at: datetime
    published_at: datetime | None


async def show(environment: Environment, text: str) -> int:
    """Three parts: the order, its steps, its events. What is known is told before anything more is asked."""
    async with opened_service(environment, "order") as database:
        order_id = await order_named(database, text)
        order = await PostgresOrderRepository(database, Outbox(database, "order")).get(order_id)
        assert order is not None
        saga = await standing_of(database, order_id)
        _print_facts(_facts_of(order))
        print()
        print(await _steps(database, order_id) if saga else "no saga: from before there were any")
        print(flush=True)
    if saga is not None and saga.due_in is not None:
        _print_facts(_facts_ahead(saga))
        print(flush=True)
    print(_events([each for keys in _keys(order_id) for each in await _told(environment, *keys)]))
    return 0


def _facts_of(order: Order) -> dict[str, str]:
    items = (f"{item.quantity} of {item.product_name} at {item.unit_price.amount}" for item in order.items)
    return {
        "order": str(order.order_id),
        "user": str(order.user_id),
        "status": f"{order.status} {order.reason}".rstrip(),
        "total": f"{order.total.amount} {order.total.currency}",
        "items": "; ".join(items),
        "placed": time(order.placed_at, "milliseconds"),
        "key of the reservation": reservation_of(order.order_id),
        "key of the payment": payment_of(order.order_id),
    }


def _facts_ahead(saga: Standing) -> dict[str, str]:
    """What is still to be done."""
    coming = next_in_words(saga.log)
    return {
        "goes": direction_in_words(saga.log),
        "next": f"{coming} ({KINDS[coming]})" if coming in KINDS else coming,
        "waits": f"{span(saga.seconds)}, {saga.attempts} attempts in vain, due {due_in_words(saga.due_in)}",
        "stuck" if saga.is_stuck else "why": problem_in_words(saga),
    }


def _print_facts(facts: Mapping[str, str]) -> None:
    width = max(map(len, facts))
    for name, fact in facts.items():
        print(f"{name:<{width}}  {shown(fact)}")


async def _steps(order: Database, order_id: UUID) -> str:
    rows = [
        [action, KINDS.get(action, "unknown"), outcome, reason, str(attempts), f"{took:.0f} ms", _exact(at)]
        for action, outcome, reason, attempts, took, at in await every(order, _STEPS, [order_id])
    ]
    return table(STEP_HEADS, rows)


def _keys(order_id: UUID) -> Iterable[tuple[str, str]]:
    """Under which name each service knows the order."""
    return (
        ("order", str(order_id)),
        ("inventory", reservation_of(order_id)),
        ("payment", payment_of(order_id)),
    )


async def _told(environment: Environment, service: str, key: str) -> list[Told]:
    async with opened_service(environment, service) as database:
        rows = await every(database, _EVENTS, [key])
    return [_told_by(service, decode(value), published_at) for value, published_at in rows]


def _told_by(service: str, event: Envelope, published_at: datetime | None) -> Told:
    """When it happened stands in the event: the outbox knows when it was last asked to publish it."""
    return Told(service, event.type.rpartition(".")[2], event.time, published_at)


def _events(told: Iterable[Told]) -> str:
    rows = [
        [each.name, each.service, _exact(each.at), _exact(each.published_at) or "waits"]
        for each in sorted(told, key=lambda each: each.at)
    ]
    hours = KEPT.total_seconds() / 3600
    return table(EVENT_HEADS, rows) if rows else f"no events: they are kept for {hours:g} hours"


def _exact(moment: datetime | None) -> str:
    return time(moment, "milliseconds")
