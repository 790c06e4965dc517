"""What becomes of orders in a whole system: four services agree, or all is as it was before."""

import signal
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from shared.ids import new_id
from tests.e2e.client import Answer
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, System
from tests.e2e.test_shop import Person, frozen, log_in, make_product, new_key, rows, sign_up
from tests.waiting import until

PRICE = 1_000
SECONDS = 60.0  # for an order to end; milliseconds, where nothing is broken and nobody else is at work
WAIT = "wait=20"


@dataclass(frozen=True)
class Shop:
    """One product, and who buys it."""

    system: System
    admin: Person
    shopper: Person
    product_id: str

    def restock(self, on_hand: int) -> None:
        """So many are there that nobody has ordered."""
        stock = self.stock()
        target = f"/inventory/{self.product_id}"
        assert self.admin.ask("PUT", target, {"on_hand": stock["reserved"] + on_hand}).status == 200

    def stock(self) -> dict[str, int]:
        answer = self.admin.client.get(f"/inventory/{self.product_id}")
        return {"on_hand": 0, "reserved": 0} if answer.status == 404 else answer.json

    def balance(self) -> int:
        return int(self.shopper.ask("GET", "/wallet").json["balance"]["amount"])

    def deposit(self, amount: int) -> None:
        money = {"amount": amount, "currency": "KRW"}
        deposit = self.shopper.ask("POST", "/wallet/deposits", money, idempotency_key=new_key())
        assert deposit.status == 201

    def order(self, quantity: int = 1, prefer: str = WAIT, **members: object) -> Answer:
        document = {"items": [{"product_id": self.product_id, "quantity": quantity}], **members}
        return self.shopper.ask("POST", "/orders", document, idempotency_key=new_key(), prefer=prefer)

    def ended(self, order: dict[str, Any]) -> tuple[str, str | None]:
        """Status and reason, once they are final."""
        found = order

        def is_final() -> bool:
            nonlocal found
            found = self.shopper.ask("GET", f"/orders/{order['order_id']}").json
            return bool(found["status"] != "PENDING")

        until(is_final, SECONDS, "the order ends", self.system.log)
        return found["status"], found["reason"]


@pytest.fixture(scope="module")
def shop(system: System) -> Shop:
    admin = log_in(system.client(), ADMIN_EMAIL, ADMIN_PASSWORD)
    shop = Shop(system, admin, sign_up(system.client()), make_product(admin, "Kettle", PRICE))
    shop.deposit(100 * PRICE)
    return shop


def test_a_confirmed_order_is_paid_and_its_goods_have_left(shop: Shop) -> None:
    shop.restock(10)
    before = shop.balance()
    answer = shop.order(3, expected_total={"amount": 3 * PRICE, "currency": "KRW"})
    assert (answer.status, answer.json["status"], answer.json["reason"]) == (201, "CONFIRMED", None)
    assert answer.headers["Preference-Applied"] == WAIT
    assert shop.shopper.ask("GET", answer.headers["Location"]).json["status"] == "CONFIRMED"
    assert (shop.stock()["on_hand"], shop.stock()["reserved"]) == (7, 0)
    assert shop.balance() == before - 3 * PRICE
    too_late = shop.shopper.ask("POST", f"{answer.headers['Location']}/cancel")
    assert (too_late.status, too_late.json["type"]) == (409, "urn:plainstack:problem:order-confirmed")
    told = "SELECT type FROM outbox WHERE key = %s ORDER BY position"
    assert rows(shop.system, "order", told, answer.json["order_id"]) == [
        ("shop.order.v1.OrderPlaced",),
        ("shop.order.v1.OrderConfirmed",),
    ]


def test_what_is_refused_costs_nothing(shop: Shop) -> None:
    shop.restock(200)
    before = shop.balance()
    declined = shop.order(150)
    assert (declined.status, declined.json["status"]) == (201, "CANCELLED")
    assert declined.json["reason"] == "payment_declined"
    assert (shop.stock()["on_hand"], shop.stock()["reserved"]) == (200, 0)
    missing = shop.order(201)
    assert (missing.status, missing.json["reason"]) == (201, "out_of_stock")
    assert shop.balance() == before


def test_what_cannot_be_ordered_is_not(shop: Shop) -> None:
    other = shop.order(expected_total={"amount": PRICE - 1, "currency": "KRW"})
    assert (other.status, other.json["type"]) == (409, "urn:plainstack:problem:price-changed")
    archived = make_product(shop.admin, "Old kettle", PRICE)
    assert shop.admin.ask("DELETE", f"/products/{archived}").status == 204
    for product_id in (archived, str(new_id())):
        refused = shop.shopper.order((product_id, 1))
        assert (refused.status, refused.json["errors"][0]["field"]) == (422, "items[0].product_id")


def test_of_ten_who_want_the_last_one_gets_it(shop: Shop) -> None:
    shop.restock(1)
    before = shop.balance()
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: shop.order(), range(10)))
    outcomes = Counter(shop.ended(answer.json) for answer in answers)
    assert outcomes == {("CONFIRMED", None): 1, ("CANCELLED", "out_of_stock"): 9}
    assert (shop.stock()["on_hand"], shop.stock()["reserved"]) == (0, 0)
    assert shop.balance() == before - PRICE


def test_the_price_agreed_is_charged_whatever_it_is_by_then(shop: Shop) -> None:
    shop.restock(1)
    before = shop.balance()
    with frozen(shop.system, "inventory.1"):
        order = shop.order(prefer="wait=0").json
        price = {"price": {"amount": 99 * PRICE, "currency": "KRW"}}
        assert shop.admin.ask("PATCH", f"/products/{shop.product_id}", price).status == 200
    assert shop.ended(order) == ("CONFIRMED", None)
    assert shop.balance() == before - PRICE
    price = {"price": {"amount": PRICE, "currency": "KRW"}}
    assert shop.admin.ask("PATCH", f"/products/{shop.product_id}", price).status == 200


def test_an_order_that_waits_for_a_silent_service_can_be_called_off(shop: Shop) -> None:
    shop.restock(1)
    before = shop.balance()
    with frozen(shop.system, "payment.1"):
        order = shop.order(prefer="wait=0").json
        until(lambda: shop.stock()["reserved"] == 1, SECONDS, "the goods are set aside", shop.system.log)
        target = f"/orders/{order['order_id']}/cancel"
        with ThreadPoolExecutor(1) as pool:  # it waits for a while until all is undone
            waiting = pool.submit(shop.shopper.ask, "POST", target)
            lines = "SELECT FROM saga_log WHERE order_id = %s AND reason = 'requested'"
            until(
                lambda: rows(shop.system, "order", lines, order["order_id"]),
                SECONDS,
                "the wish is written down",
                shop.system.log,
            )
            shop.system.kill("payment.1", signal.SIGCONT)
            assert waiting.result().status == 200
    assert shop.ended(order) == ("CANCELLED", "requested")
    assert (shop.stock()["on_hand"], shop.stock()["reserved"]) == (1, 0)
    assert shop.balance() == before
    assert shop.shopper.ask("POST", target).json["status"] == "CANCELLED"


def test_while_inventory_is_killed_all_orders_end_and_all_adds_up(shop: Shop) -> None:
    shop.restock(100)
    before, on_hand = shop.balance(), shop.stock()["on_hand"]
    with ThreadPoolExecutor(4) as pool:
        placing = [pool.submit(shop.order, prefer="wait=0") for _ in range(20)]
        former = shop.system.kill("inventory.1")
        placed = [each.result() for each in placing]
    assert {answer.status for answer in placed} == {202}
    outcomes = Counter(shop.ended(answer.json) for answer in placed)
    shop.system.wait_for_successor("inventory.1", former, SECONDS)
    assert outcomes.keys() <= {("CONFIRMED", None), ("CANCELLED", "timed_out")}
    sold = outcomes["CONFIRMED", None]
    assert (shop.stock()["on_hand"], shop.stock()["reserved"]) == (on_hand - sold, 0)
    assert shop.balance() == before - sold * PRICE
    shop.system.wait_until_ready()
