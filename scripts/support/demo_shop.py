"""The part of the demo that is played in the shop: stock, a wallet, and orders that end in every way."""

import secrets
import time
from collections.abc import Callable, Mapping

from scripts.support.conversation import Answer, Conversation, Surprise, require
from scripts.support.demo_sockets import DemoSocket, Sockets

KETTLE = {"name": "Demo kettle for sale", "price": {"amount": 25_000, "currency": "KRW"}}
KETTLES = 5
TEA = {"name": "Demo tea", "price": {"amount": 100, "currency": "KRW"}}  # cheap: it may be bought by accident
CANCEL_TRIES = 20  # each is a race against the order's saga, which takes two more services and some writes
PATIENCE_SECONDS, POLL_SECONDS = 10.0, 0.2
MONEY = {"amount": 100_000, "currency": "KRW"}
WAIT = {"Prefer": "wait=10"}
OK, TOO_LATE = 200, 409


class ShopDemo:
    """Continues the story of whoever has `token`; `step` announces what comes next."""

    def __init__(
        self, gateway: Conversation, sockets: Sockets, token: str, step: Callable[[str], None]
    ) -> None:
        self._gateway = gateway
        self._sockets = sockets
        self._token = token
        self._step = step

    def run(self, admin_token: str) -> None:
        """Surprise when anything is not as it should be."""
        kettle = self._fill_the_shelf(admin_token)
        self._fill_the_wallet()
        self._break_a_rule(kettle)
        order = self._order(kettle)
        self._want_too_much(kettle)
        self._cancel(admin_token)
        self._rename(kettle, admin_token, order)

    def _fill_the_shelf(self, admin_token: str) -> str:
        self._step("An admin makes a product and says how many there are")
        product_id = self._make(KETTLE, KETTLES, admin_token)
        self._require_stock(product_id, KETTLES)
        return product_id

    def _make(self, product: object, pieces: int, admin_token: str) -> str:
        made = self._gateway.expect(201, "POST", "/products", product, token=admin_token)
        product_id: str = made.member("product_id")
        self._gateway.expect(200, "PUT", f"/inventory/{product_id}", {"on_hand": pieces}, token=admin_token)
        return product_id

    def _fill_the_wallet(self) -> None:
        self._step("Money into the wallet; asked twice under one key, for answers get lost, it comes once")
        key = _key()
        for _ in range(2):
            self._gateway.expect(201, "POST", "/wallet/deposits", MONEY, token=self._token, headers=key)
        self._require_money(MONEY["amount"])

    def _break_a_rule(self, kettle: str) -> None:
        self._step("An order that expects another price is refused, and one without a key")
        wish = _wish(kettle, 2)
        low = {**wish, "expected_total": {"amount": 1, "currency": "KRW"}}
        self._gateway.expect(409, "POST", "/orders", low, token=self._token, headers=_key())
        self._gateway.expect(400, "POST", "/orders", wish, token=self._token)

    def _order(self, kettle: str) -> str:
        self._step(
            "Whoever has a WebSocket open hears on it what becomes of their orders: a ticket opens one"
        )
        socket = self._sockets.open("Ada", self._gateway, self._token)
        self._step("An order; we wait until it is decided. Asked again under its key, it is the same one")
        key = _key()
        placed, again = (self._place(kettle, 2, key) for _ in range(2))
        require(placed.member("status") == "CONFIRMED", "the order is confirmed")
        require(again.member("order_id") == placed.member("order_id"), "there is one order")
        self._require_news(socket, placed.member("order_id"))
        self._step("It is paid, and the goods have left")
        self._require_stock(kettle, 3)
        self._require_money(50_000)
        return placed.header("Location")

    def _require_news(self, socket: DemoSocket, order_id: str) -> None:
        news = socket.hear("order")
        while news["status"] == "PENDING":
            news = socket.hear("order")
        require((news["order_id"], news["status"]) == (order_id, "CONFIRMED"), "the socket says so, too")
        socket.hang_up()

    def _want_too_much(self, kettle: str) -> None:
        self._step("More than the wallet holds: declined, and what was set aside is for sale again")
        self._require_refusal(self._place(kettle, 3, _key()), "payment_declined")
        self._step("More than there are: out of stock, and nothing is paid")
        self._require_refusal(self._place(kettle, 4, _key()), "out_of_stock")
        self._require_stock(kettle, 3)
        self._require_money(50_000)

    def _cancel(self, admin_token: str) -> None:
        self._step("Changed our mind: an order can be cancelled until its goods leave, which is soon")
        tea = self._make(TEA, CANCEL_TRIES, admin_token)
        bought = self._cancel_in_time(tea)
        self._step("What was cancelled costs nothing, and is back on the shelf")
        self._require_stock(tea, CANCEL_TRIES - bought)
        self._require_money(50_000 - 100 * bought)

    def _cancel_in_time(self, tea: str) -> int:
        """How many orders were confirmed before they could be cancelled."""
        for bought in range(CANCEL_TRIES):
            order = self._place_in_passing(tea)
            off = self._gateway.exchange("POST", f"{order}/cancel", token=self._token)
            if off.status == OK:
                self._require_end(order, "CANCELLED")
                return bought
            require(off.status == TOO_LATE, "it is cancelled, or it is too late")
            print("   too late this time: it is as good as sold. Once more\n")
            self._require_end(order, "CONFIRMED")
        raise Surprise(f"{CANCEL_TRIES} times too late")

    def _place_in_passing(self, product_id: str) -> str:
        """Where to look what becomes of the order."""
        wish = _wish(product_id, 1)
        placed = self._gateway.expect(202, "POST", "/orders", wish, token=self._token, headers=_key())
        return placed.header("Location")

    def _require_end(self, order: str, status: str) -> None:
        self._eventually(lambda: self._status(order) == status, f"the order is {status}")

    def _status(self, order: str) -> object:
        return self._gateway.expect(200, "GET", order, token=self._token).member("status")

    def _place(self, product_id: str, quantity: int, key: Mapping[str, str]) -> Answer:
        """An order, and its end."""
        headers = {**key, **WAIT}
        wish = _wish(product_id, quantity)
        return self._gateway.expect(201, "POST", "/orders", wish, token=self._token, headers=headers)

    def _require_refusal(self, placed: Answer, reason: str) -> None:
        ending = (placed.member("status"), placed.member("reason"))
        require(ending == ("CANCELLED", reason), f"the order is cancelled: {reason}")

    def _require_stock(self, product_id: str, pieces: int) -> None:
        stock = self._gateway.expect(200, "GET", f"/inventory/{product_id}")
        seen = (stock.member("on_hand"), stock.member("available"))
        require(seen == (pieces, pieces), f"there are {pieces}, and all can be had")

    def _require_money(self, amount: object) -> None:
        wallet = self._gateway.expect(200, "GET", "/wallet", token=self._token)
        require(wallet.member("balance") == {**MONEY, "amount": amount}, f"there are {amount} in the wallet")

    def _rename(self, product_id: str, admin_token: str, order: str) -> None:
        self._step("The product has another name and price now: the order shows that name, and its own price")
        change = {"name": "Demo kettle, improved", "price": {"amount": 99_000, "currency": "KRW"}}
        self._gateway.expect(200, "PATCH", f"/products/{product_id}", change, token=admin_token)
        (item,) = self._gateway.expect(200, "GET", order, token=self._token).member("items")
        require(item["product_name"] == change["name"], "the name is today's")
        require(item["unit_price"] == KETTLE["price"], "the price is the one agreed")
        self._step("The list of orders asks nobody: an event brings it the new name")
        self._eventually(lambda: self._listed_name(order) == change["name"], "the list has the new name")

    def _listed_name(self, order: str) -> object:
        orders = self._gateway.expect(200, "GET", "/orders", token=self._token).member("items")
        (item,) = next(each for each in orders if order.endswith(each["order_id"]))["items"]
        return item["product_name"]

    def _eventually(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            require(time.monotonic() < deadline, f"{what} within {PATIENCE_SECONDS:g} s")
            time.sleep(POLL_SECONDS)


def _wish(product_id: str, quantity: int) -> dict[str, object]:
    return {"items": [{"product_id": product_id, "quantity": quantity}]}


def _key() -> dict[str, str]:
    return {"Idempotency-Key": secrets.token_hex(8)}
