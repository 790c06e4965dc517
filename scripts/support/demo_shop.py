"""The part of the demo that is played in the shop: stock, a wallet, an order."""

import secrets
import time
from collections.abc import Callable

from scripts.support.conversation import Conversation, require

KETTLE = {"name": "Demo kettle for sale", "price": {"amount": 25_000, "currency": "KRW"}}
EVENT_SECONDS, POLL_SECONDS = 10.0, 0.2
MONEY = {"amount": 100_000, "currency": "KRW"}


class ShopDemo:
    """Continues the story of whoever has `token`; `step` announces what comes next."""

    def __init__(self, gateway: Conversation, token: str, step: Callable[[str], None]) -> None:
        self._gateway = gateway
        self._token = token
        self._step = step

    def run(self, admin_token: str) -> None:
        """Surprise when anything is not as it should be."""
        product_id = self._fill_the_shelf(admin_token)
        self._fill_the_wallet()
        order = self._order(product_id)
        self._rename(product_id, admin_token, order)
        self._cancel(order)

    def _fill_the_shelf(self, admin_token: str) -> str:
        self._step("An admin makes a product and says how many there are")
        made = self._gateway.expect(201, "POST", "/products", KETTLE, token=admin_token)
        product_id: str = made.member("product_id")
        stock = f"/inventory/{product_id}"
        self._gateway.expect(200, "PUT", stock, {"on_hand": 5}, token=admin_token)
        seen = self._gateway.expect(200, "GET", stock)
        require(seen.member("available") == 5, "all of them can be had")  # noqa: PLR2004
        return product_id

    def _fill_the_wallet(self) -> None:
        self._step("Money into the wallet; asked twice under one key, for answers get lost, it comes once")
        key = {"Idempotency-Key": secrets.token_hex(8)}
        for _ in range(2):
            self._gateway.expect(201, "POST", "/wallet/deposits", MONEY, token=self._token, headers=key)
        wallet = self._gateway.expect(200, "GET", "/wallet", token=self._token)
        require(wallet.member("balance") == MONEY, "the money is there once")

    def _order(self, product_id: str) -> str:
        self._step("An order that expects another price is refused, and one without a key")
        wish = {"items": [{"product_id": product_id, "quantity": 2}]}
        key = {"Idempotency-Key": secrets.token_hex(8)}
        low = {**wish, "expected_total": {"amount": 1, "currency": "KRW"}}
        self._gateway.expect(409, "POST", "/orders", low, token=self._token, headers=key)
        self._gateway.expect(400, "POST", "/orders", wish, token=self._token)
        self._step("An order; asked again under its key, it is the same one")
        key = {"Idempotency-Key": secrets.token_hex(8)}
        placed = self._gateway.expect(202, "POST", "/orders", wish, token=self._token, headers=key)
        again = self._gateway.expect(202, "POST", "/orders", wish, token=self._token, headers=key)
        require(again.member("order_id") == placed.member("order_id"), "there is one order")
        return placed.header("Location")

    def _rename(self, product_id: str, admin_token: str, order: str) -> None:
        self._step("The product has another name and price now: the order shows that name, and its own price")
        change = {"name": "Demo kettle, improved", "price": {"amount": 99_000, "currency": "KRW"}}
        self._gateway.expect(200, "PATCH", f"/products/{product_id}", change, token=admin_token)
        (item,) = self._gateway.expect(200, "GET", order, token=self._token).member("items")
        require(item["product_name"] == change["name"], "the name is today's")
        require(item["unit_price"] == KETTLE["price"], "the price is the one agreed")
        self._step("The list of orders asks nobody: an event brings it the new name")
        self._wait_for_name(order, change["name"])

    def _wait_for_name(self, order: str, name: object) -> None:
        order_id = order.rpartition("/")[2]
        deadline = time.monotonic() + EVENT_SECONDS
        while True:
            orders = self._gateway.expect(200, "GET", "/orders", token=self._token).member("items")
            (item,) = next(each for each in orders if each["order_id"] == order_id)["items"]
            if item["product_name"] == name:
                return
            require(time.monotonic() < deadline, f"the list has the new name within {EVENT_SECONDS:g} s")
            time.sleep(POLL_SECONDS)

    def _cancel(self, order: str) -> None:
        self._step("Changed our mind")
        off = self._gateway.expect(200, "POST", f"{order}/cancel", token=self._token)
        require(off.member("status") == "CANCELLED", "the order is off")
