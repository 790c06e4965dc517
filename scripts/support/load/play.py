"""The whole play: a shop opens, clients order in it, and in the end every order is asked for once more."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.support.accounts import Account
from scripts.support.load.books import discrepancies
from scripts.support.load.patient_client import GaveUp, PatientClient
from scripts.support.load.report import Report
from scripts.support.load.scenes import MIX, Customer, Mix
from scripts.support.load.shop import Shop, open_shop
from scripts.support.load.users import User
from shared.tasks import together

OPENING_SECONDS = 10.0  # for each request: then there is nobody at home


@dataclass(frozen=True, slots=True)
class Plan:
    """How many play, and until when: so many `orders`, or so many `seconds`, whatever comes first.

    None of the two: until they are told. Clients share the `users`, because signing up takes long. Every
    request is tried again for `patience` seconds, and so long is waited, in the end, for orders to be final.
    """

    clients: int = 50
    orders: int | None = 1_000
    seconds: float | None = None
    users: int = 8
    seed: int = 0
    patience: float = 120.0
    currency: str = "KRW"
    mix: Mix | None = None  # the usual one


class Control:
    """For somebody on another thread: knows how far a play is, and ends it before its time."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()  # the shop is open, and clients order
        self.must_end = threading.Event()  # to be set: clients begin nothing new
        self.orders = 0  # begun so far


async def play(origin: str, admin: Account, plan: Plan, control: Control | None = None) -> Report:
    """All of it, against the gateway at `origin`.

    Raises GaveUp or Refused when the shop cannot be opened.
    """
    client = PatientClient(origin, plan.clients, OPENING_SECONDS)
    try:
        shop = await open_shop(client, User(client, admin), plan.currency, plan.users)
        client.patience = plan.patience
        report = Report(retries=client.retries)
        await _play_in(shop, plan, control or Control(), report)
        return report
    finally:
        await client.close()


async def _play_in(shop: Shop, plan: Plan, control: Control, report: Report) -> None:
    customers = [_customer(number, shop, report, plan) for number in range(plan.clients)]
    began = time.monotonic()
    control.has_begun.set()
    await together(*(_shop_on(customer, plan, control, began) for customer in customers))
    report.seconds = time.monotonic() - began
    deadline = time.monotonic() + plan.patience
    await together(*(customer.settle(deadline) for customer in customers))
    await _check_the_books(shop, customers, report)


def _customer(number: int, shop: Shop, report: Report, plan: Plan) -> Customer:
    chance = random.Random(f"{plan.seed}-{number}")  # noqa: S311 - no secret
    return Customer(shop, report, shop.users[number % len(shop.users)], chance)


async def _shop_on(customer: Customer, plan: Plan, control: Control, began: float) -> None:
    while not _is_over(plan, control, began):
        control.orders += 1
        await customer.shop_once(plan.mix or MIX)


def _is_over(plan: Plan, control: Control, began: float) -> bool:
    has_all = plan.orders is not None and control.orders >= plan.orders
    is_late = plan.seconds is not None and time.monotonic() - began >= plan.seconds
    return has_all or is_late or control.must_end.is_set()


async def _check_the_books(shop: Shop, customers: Sequence[Customer], report: Report) -> None:
    """While an order is open, or may be there without our knowledge, they need not add up."""
    if report.not_final or report.unanswered:
        return
    sold = {told.order_id: told for told in report.witness.confirmed}
    buyers = {order_id: user for customer in customers for order_id, user in customer.orders.items()}
    try:
        report.discrepancies += await discrepancies(shop, sold, buyers)
    except GaveUp as silence:
        report.unanswered.append(str(silence))
