"""The shop in a whole system: stock, wallets, orders, and what happens while a service is away."""

import asyncio
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from grpc import StatusCode, aio
from shop.inventory.v1.inventory_pb2 import ReserveOutcome, ReserveRequest
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.payment.v1.payment_pb2 import ChargeOutcome, ChargeRequest
from shop.payment.v1.payment_pb2_grpc import PaymentServiceStub

from shared.config import LOOPBACK
from shared.ids import new_id
from shared.rpc.channel import Channel
from tests.e2e.client import Answer, Client
from tests.e2e.system import ADMIN_EMAIL, ADMIN_PASSWORD, System
from tests.waiting import until

PASSWORD = "correct horse battery staple"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SECONDS = 20.0  # for a call where its speed is not the subject


@dataclass(frozen=True)
class Person:
    """Somebody who is logged in."""

    client: Client
    token: str

    def ask(self, method: str, target: str, document: object = None, **headers: str) -> Answer:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(method, target, json_body=document, token=self.token, headers=fields)

    def order(self, *items: tuple[str, int], key: str | None = None, **members: object) -> Answer:
        wanted = [{"product_id": product_id, "quantity": quantity} for product_id, quantity in items]
        return self.ask("POST", "/orders", {"items": wanted, **members}, idempotency_key=key or new_key())


def new_key() -> str:
    return secrets.token_hex(8)


def log_in(client: Client, email: str, password: str) -> Person:
    answer = client.post("/auth/login", {"email": email, "password": password})
    assert answer.status == 200, answer.body
    return Person(client, str(answer.json["access_token"]))


def sign_up(client: Client) -> Person:
    email = f"shopper-{secrets.token_hex(6)}@example.com"
    form = {"email": email, "password": PASSWORD, "display_name": "Shopper"}
    assert client.post("/auth/signup", form).status == 201
    return log_in(client, email, PASSWORD)


@pytest.fixture(scope="module")
def admin(system: System) -> Person:
    return log_in(system.client(), ADMIN_EMAIL, ADMIN_PASSWORD)


@pytest.fixture(scope="module")
def shopper(system: System) -> Person:
    return sign_up(system.client())


@pytest.fixture(scope="module")
def stranger(system: System) -> Person:
    return sign_up(system.client())


def make_product(admin: Person, name: str = "Kettle", amount: int = 24_000) -> str:
    document = {"name": name, "price": {"amount": amount, "currency": "KRW"}}
    made = admin.ask("POST", "/products", document)
    assert made.status == 201, made.body
    return str(made.json["product_id"])


@pytest.fixture(scope="module")
def kettle(admin: Person) -> str:
    return make_product(admin)


def rows(system: System, service: str, query: str, *values: object) -> list[Any]:
    """What the database of `service` says, asked with its own role."""
    with psycopg.connect(system.environment.database_url(service).value) as connection:
        return connection.execute(query.encode(), values).fetchall()


@contextmanager
def frozen(system: System, name: str) -> Iterator[None]:
    """`name` is there, but silent."""
    system.kill(name, signal.SIGSTOP)
    try:
        yield
    finally:
        system.kill(name, signal.SIGCONT)


# Stock


def test_a_new_product_has_none_in_stock(system: System, admin: Person) -> None:
    target = f"/inventory/{make_product(admin)}"
    until(lambda: admin.client.get(target).status == 200, SECONDS, "its stock", system.log)
    assert admin.client.get(target).json["on_hand"] == 0


def test_stock_is_set_by_admins_and_seen_by_all(admin: Person, shopper: Person, kettle: str) -> None:
    target = f"/inventory/{kettle}"
    assert shopper.ask("PUT", target, {"on_hand": 5}).status == 403
    assert admin.ask("PUT", target, {"on_hand": 5}).status == 200
    seen = shopper.client.get(target)
    assert seen.json == {"product_id": kettle, "on_hand": 5, "reserved": 0, "available": 5}


# Money


def test_a_deposit_counts_once(shopper: Person) -> None:
    before = shopper.ask("GET", "/wallet").json["balance"]["amount"]
    key = new_key()
    money = {"amount": 50_000, "currency": "KRW"}
    first = shopper.ask("POST", "/wallet/deposits", money, idempotency_key=key)
    again = shopper.ask("POST", "/wallet/deposits", money, idempotency_key=key)
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert shopper.ask("POST", "/wallet/deposits", money).status == 400
    other = shopper.ask("POST", "/wallet/deposits", {**money, "amount": 1}, idempotency_key=key)
    assert other.status == 422
    assert shopper.ask("GET", "/wallet").json["balance"] == {"amount": before + 50_000, "currency": "KRW"}
    assert shopper.client.get("/wallet").status == 401


# Orders


def test_an_order_is_its_owners_business(
    admin: Person, shopper: Person, stranger: Person, kettle: str
) -> None:
    placed = shopper.order((kettle, 2), expected_total={"amount": 48_000, "currency": "KRW"})
    assert placed.status == 202, placed.body
    target = placed.headers["Location"]
    assert target == f"/orders/{placed.json['order_id']}"
    for asker, status in ((shopper, 200), (admin, 200), (stranger, 404)):
        assert asker.ask("GET", target).status == status
    assert shopper.client.get(target).status == 401
    (item,) = placed.json["items"]
    assert (item["product_name"], item["quantity"], item["unit_price"]["amount"]) == ("Kettle", 2, 24_000)
    assert (placed.json["status"], placed.json["total"]["amount"]) == ("PENDING", 48_000)
    assert placed.json["order_id"] in [
        each["order_id"] for each in shopper.ask("GET", "/orders").json["items"]
    ]
    assert stranger.ask("GET", "/orders").json == {"items": [], "next": None}
    assert stranger.ask("POST", f"{target}/cancel").status == 404


def test_names_are_todays_and_prices_those_agreed(admin: Person, shopper: Person) -> None:
    product_id = make_product(admin, "Pot", 10_000)
    target = shopper.order((product_id, 1)).headers["Location"]
    change = {"name": "Teapot", "price": {"amount": 99_000, "currency": "KRW"}}
    assert admin.ask("PATCH", f"/products/{product_id}", change).status == 200
    order = shopper.ask("GET", target).json
    assert (order["names_from"], order["items"][0]["product_name"]) == ("product", "Teapot")
    assert (order["items"][0]["unit_price"]["amount"], order["total"]["amount"]) == (10_000, 10_000)


def test_what_cannot_be_ordered(shopper: Person, kettle: str) -> None:
    changed = shopper.order((kettle, 1), expected_total={"amount": 1, "currency": "KRW"})
    assert (changed.status, changed.json["type"]) == (409, "urn:plainstack:problem:price-changed")
    unknown = shopper.order((str(new_id()), 1))
    assert (unknown.status, unknown.json["errors"][0]["field"]) == (422, "items[0].product_id")
    assert shopper.ask("POST", "/orders", {"items": [{"product_id": kettle, "quantity": 1}]}).status == 400


def test_many_posts_under_one_key_are_one_order(system: System, shopper: Person, kettle: str) -> None:
    key = new_key()
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: shopper.order((kettle, 3), key=key), range(20)))
    assert {answer.status for answer in answers} <= {201, 202, 409}  # 201: it has ended meanwhile
    placed = {answer.json["order_id"] for answer in answers if answer.status != 409}
    assert len(placed) == 1
    ours = "SELECT count(*) FROM order_items WHERE product_id = %s AND quantity = 3"
    assert rows(system, "order", ours, kettle) == [(1,)]


def test_orders_are_read_while_the_catalogue_is_silent(system: System, shopper: Person, kettle: str) -> None:
    target = shopper.order((kettle, 1)).headers["Location"]
    with frozen(system, "product.1"):
        order = shopper.ask("GET", target)
        assert (order.status, order.json["names_from"]) == (200, "copy")
        assert shopper.ask("GET", "/orders").status == 200
        refused = shopper.order((kettle, 1))
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    until(lambda: shopper.ask("GET", target).json["names_from"] == "product", SECONDS, "names from product")


def test_orders_are_read_while_the_catalogue_is_killed_again_and_again(
    system: System, shopper: Person, kettle: str
) -> None:
    target = shopper.order((kettle, 1)).headers["Location"]

    def reads_from(source: str) -> bool:
        answer = shopper.ask("GET", target)
        assert answer.status == 200
        return bool(answer.json["names_from"] == source)

    for _ in range(2):
        former = system.kill("product.1")
        until(lambda: reads_from("copy"), SECONDS, "names from the copy")
        system.wait_for_successor("product.1", former, SECONDS)
        until(lambda: reads_from("product"), SECONDS, "names from product")
    system.wait_until_ready()


# Between services


def channel(system: System, callee: str) -> Channel:
    """As the order service speaks to `callee`."""
    return Channel.read(system.environment, "order", callee)


async def test_of_fifty_who_want_the_last_one_gets_it(system: System, admin: Person) -> None:
    product_id = make_product(admin, "The last one")
    assert admin.ask("PUT", f"/inventory/{product_id}", {"on_hand": 1}).status == 200
    async with channel(system, "inventory") as inventory:
        stub = InventoryServiceStub(inventory.raw)

        async def reserve() -> ReserveOutcome.ValueType:
            items = [{"product_id": product_id, "quantity": 1}]
            request = ReserveRequest(reservation_id=str(new_id()), items=items)  # type: ignore[arg-type]
            return (await inventory.call(stub.Reserve, request, seconds=SECONDS)).outcome

        outcomes = await asyncio.gather(*(reserve() for _ in range(50)))
    assert outcomes.count(ReserveOutcome.RESERVE_OUTCOME_RESERVED) == 1
    assert outcomes.count(ReserveOutcome.RESERVE_OUTCOME_OUT_OF_STOCK) == 49
    stock = "SELECT on_hand, reserved FROM stock WHERE product_id = %s"
    assert rows(system, "inventory", stock, product_id) == [(1, 1)]


async def test_a_wallet_is_never_charged_for_more_than_it_holds(system: System) -> None:
    spender = sign_up(system.client())
    user_id = spender.ask("GET", "/auth/me").json["user_id"]
    money = {"amount": 7_500, "currency": "KRW"}
    assert spender.ask("POST", "/wallet/deposits", money, idempotency_key=new_key()).status == 201
    async with channel(system, "payment") as payment:
        stub = PaymentServiceStub(payment.raw)

        async def charge() -> ChargeOutcome.ValueType:
            amount = {"amount": 1_000, "currency": "KRW"}
            request = ChargeRequest(payment_id=str(new_id()), user_id=user_id, amount=amount)  # type: ignore[arg-type]
            return (await payment.call(stub.Charge, request, seconds=SECONDS)).outcome

        outcomes = await asyncio.gather(*(charge() for _ in range(50)))
    assert outcomes.count(ChargeOutcome.CHARGE_OUTCOME_CHARGED) == 7
    assert outcomes.count(ChargeOutcome.CHARGE_OUTCOME_DECLINED) == 43
    assert spender.ask("GET", "/wallet").json["balance"]["amount"] == 500


@pytest.mark.parametrize("service", ["product", "inventory", "payment", "order", "chat"])
async def test_no_service_answers_a_call_that_is_not_signed(system: System, service: str) -> None:
    (address,) = system.environment.rpc_addresses(service)
    assert address.startswith(LOOPBACK)
    path = {
        "product": "/shop.product.v1.ProductService/GetProducts",
        "inventory": "/shop.inventory.v1.InventoryService/Reserve",
        "payment": "/shop.payment.v1.PaymentService/Charge",
        "order": "/shop.order.v1.OrderService/GetOrder",
        "chat": "/shop.chat.v1.ChatService/PostMessage",
    }[service]
    async with aio.insecure_channel(address) as stranger:
        with pytest.raises(aio.AioRpcError) as refused:
            await stranger.unary_unary(path, str.encode, bytes.decode)("", timeout=SECONDS)
    assert refused.value.code() is StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("service", ["inventory", "payment", "order", "chat"])
def test_every_service_has_its_operations(system: System, service: str) -> None:
    operator = system.client(service)
    assert operator.get("/healthz").status == 200
    assert operator.get("/readyz").json == {"status": "ready"}
    assert b"rpc_server_duration_seconds" in operator.get("/metrics").body
    assert operator.get("/anything").status == 401


# Events


def test_a_rename_reaches_the_list_of_orders(system: System, admin: Person, shopper: Person) -> None:
    product_id = make_product(admin, "Kettle")
    order_id = shopper.order((product_id, 1)).json["order_id"]

    trace = {"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-01"}
    assert admin.ask("PATCH", f"/products/{product_id}", {"name": "Teapot"}, **trace).status == 200

    def name_in_the_list() -> object:
        orders = shopper.ask("GET", "/orders").json["items"]
        [item] = next(each for each in orders if each["order_id"] == order_id)["items"]
        return item["product_name"]

    until(lambda: name_in_the_list() == "Teapot", SECONDS, "the new name in the list", system.log)
    until(lambda: "event applied" in traced(system, "order.1"), SECONDS, "its trace in the log", system.log)


def traced(system: System, process: str) -> str:
    """What `process` has logged under the trace."""
    lines = system.log().splitlines()
    return "\n".join(line for line in lines if TRACE_ID in line and process in line)
