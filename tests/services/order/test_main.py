"""The whole service beside a whole product service: real sockets, databases, signed requests and calls."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from shop.order.v1.order_pb2 import ORDER_STATUS_PENDING, GetOrderRequest
from shop.order.v1.order_pb2_grpc import OrderServiceStub

from services.order.main import MIGRATIONS, NAME, main, rebuild
from services.order.service import orders as use_cases
from services.product.main import NAME as PRODUCT
from services.product.main import main as product_main
from shared import context
from shared.callers import callers
from shared.config import ConfigError, Environment, Secret, identity_key_setting
from shared.context import ANONYMOUS, Principal
from shared.errors import NotFound
from shared.events.rebuilt import Rebuilt
from shared.rpc.channel import Channel
from tests.engines import Engines
from tests.services.asking import CUSTOMER, OTHER_CUSTOMER
from tests.services.databases import opened
from tests.services.order.participant_servers import InventoryServer, PaymentServer, serving
from tests.services.running import ADMIN, NO_BUS, RunningService, running
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

KEY = ("Idempotency-Key", "k")
RPC_SECONDS = 30.0
BUS_SECONDS = 20.0


@dataclass
class Shop:
    """Both services."""

    product: RunningService
    order: RunningService
    _product_life: AsyncExitStack

    async def end_product(self) -> None:
        await self._product_life.aclose()

    async def product_made(self, name: str) -> str:
        """A product's identifier."""
        document = {"name": name, "price": {"amount": 9_800, "currency": "KRW"}}
        _, product = await self.product.ask("POST", "/products", document)
        product_id: str = product["product_id"]
        return product_id

    async def rename(self, product_id: str, name: str) -> None:
        response, _ = await self.product.ask("PATCH", f"/products/{product_id}", {"name": name})
        assert response.status == 200

    async def place(self, product_id: str, *headers: tuple[str, str]) -> tuple[int, Any]:
        document = {"items": [{"product_id": product_id, "quantity": 2}]}
        response, order = await self.order.ask("POST", "/orders", document, CUSTOMER, *(headers or (KEY,)))
        return response.status, order

    async def told(self, order_id: str) -> tuple[str, str]:
        """Where the names are from, and the first."""
        response, order = await self.order.ask("GET", f"/orders/{order_id}", None, CUSTOMER)
        assert response.status == 200
        assert order["total"] == {"amount": 19_600, "currency": "KRW"}
        return order["names_from"], order["items"][0]["product_name"]


NOWHERE = "127.0.0.1:1"
NOBODY = {
    key: value
    for callee in ("product", "inventory", "payment")
    for key, value in (
        (f"{callee.upper()}_RPC_ADDRESSES", NOWHERE),
        (identity_key_setting(NAME, callee), "k1:" + "A" * 43),
    )
}


@asynccontextmanager
async def both(
    database_url: Secret, product_url: Secret, home: Path, events_url: str = NO_BUS, **others: str
) -> AsyncIterator[Shop]:
    """Unless `others` say where inventory and payment are, orders stay pending."""
    async with AsyncExitStack() as product_life:
        product = await product_life.enter_async_context(
            running(PRODUCT, product_main, product_url, home, EVENTS_URL=events_url)
        )
        environment = product.environment
        settings = {
            "PRODUCT_RPC_ADDRESSES": ",".join(environment.rpc_addresses(PRODUCT)),
            identity_key_setting(NAME, PRODUCT): environment.identity_key(NAME, PRODUCT).value,
            "EVENTS_URL": events_url,
        }
        async with running(NAME, main, database_url, home, **NOBODY | settings | others) as order:
            await asyncio.gather(product.until_ready(), order.until_ready())
            yield Shop(product, order, product_life)


@pytest.fixture
def _unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is slow is no service that is away."""
    monkeypatch.setattr(use_cases, "PRICES_SECONDS", RPC_SECONDS)
    monkeypatch.setattr(use_cases, "NAMES_SECONDS", RPC_SECONDS)


@pytest.fixture
async def shop(
    database_url: Secret, engines: Engines, tmp_path: Path, _unhurried: None
) -> AsyncIterator[Shop]:
    """Two services, and no bus between them."""
    async with both(database_url, engines.new_database(), tmp_path) as shop:
        yield shop


@pytest.fixture
async def shop_on_a_bus(
    database_url: Secret, engines: Engines, tmp_path: Path, _unhurried: None, valkey: Valkey
) -> AsyncIterator[Shop]:
    async with both(database_url, engines.new_database(), tmp_path, valkey.url.value) as shop:
        yield shop


async def test_an_orders_life(shop: Shop) -> None:
    tea = await shop.product_made("Tea")
    status, order = await shop.place(tea)
    assert (status, order["status"], order["items"][0]["product_name"]) == (202, "PENDING", "Tea")
    assert await shop.told(order["order_id"]) == ("product", "Tea")
    await shop.rename(tea, "Green tea")
    assert await shop.told(order["order_id"]) == ("product", "Green tea")
    assert await shop.place(tea) == (202, order)

    await shop.end_product()
    assert await shop.told(order["order_id"]) == ("copy", "Tea")
    status, problem = await shop.place(tea, ("Idempotency-Key", "other"))
    assert (status, problem["detail"]) == (503, "The product service cannot answer.")
    assert await shop.place(tea) == (202, order)

    _, page = await shop.order.ask("GET", "/orders", None, CUSTOMER)
    assert page == {"items": [order], "next": None}
    target = f"/orders/{order['order_id']}"
    others, _ = await shop.order.ask("GET", target, None, OTHER_CUSTOMER)
    admins, _ = await shop.order.ask("GET", target, None, ADMIN)
    nobodys, _ = await shop.order.ask("GET", target, None, ANONYMOUS)
    assert (others.status, admins.status, nobodys.status) == (404, 200, 401)


@pytest.mark.usefixtures("_unhurried")
async def test_with_everybody_there_an_order_is_confirmed(
    database_url: Secret, engines: Engines, tmp_path: Path
) -> None:
    stock, wallets = InventoryServer(), PaymentServer()
    async with (
        serving(stock, wallets) as others,
        both(database_url, engines.new_database(), tmp_path, **others) as shop,
    ):
        status, order = await shop.place(await shop.product_made("Tea"), KEY, ("Prefer", "wait=20"))
        assert (status, order["status"]) == (201, "CONFIRMED")
        response, problem = await shop.order.ask(
            "POST", f"/orders/{order['order_id']}/cancel", None, CUSTOMER
        )
        assert (response.status, problem["type"].rpartition(":")[2]) == (409, "order-confirmed")
    assert [type(each).__name__ for each in stock.asked + wallets.asked] == [
        "ReserveRequest",
        "CommitRequest",
        "ChargeRequest",
    ]


async def test_copies_follow_the_catalogue(shop_on_a_bus: Shop) -> None:
    shop = shop_on_a_bus
    tea = await shop.product_made("Tea")
    _, order = await shop.place(tea)
    await shop.rename(tea, "Green tea")

    async def listed() -> str:
        _, page = await shop.order.ask("GET", "/orders", None, CUSTOMER)
        name: str = page["items"][0]["items"][0]["product_name"]
        return name

    async def is_renamed() -> bool:
        return await listed() == "Green tea"

    await eventually(is_renamed, BUS_SECONDS)
    await shop.end_product()
    assert await shop.told(order["order_id"]) == ("copy", "Green tea")


async def test_while_the_bus_is_frozen_nothing_waits_but_reports(
    shop_on_a_bus: Shop, valkey: Valkey, database_url: Secret
) -> None:
    shop = shop_on_a_bus
    tea = await shop.product_made("Tea")

    def waiting() -> int:
        with psycopg.connect(database_url.value) as connection:
            row = connection.execute("SELECT count(*) FROM outbox WHERE published_at IS NULL").fetchone()
        assert row is not None
        return int(row[0])

    await eventually(lambda: waiting() == 0, BUS_SECONDS)
    valkey.signal(signal.SIGSTOP)
    async with asyncio.timeout(BUS_SECONDS):
        for number in range(5):
            assert (await shop.place(tea, ("Idempotency-Key", str(number))))[0] == 202
        await shop.order.until_ready()
    assert waiting() == 5
    valkey.signal(signal.SIGCONT)
    await eventually(lambda: waiting() == 0, BUS_SECONDS)


async def test_copies_can_be_rebuilt(shop: Shop, database_url: Secret) -> None:
    tea = await shop.product_made("Tea")
    await shop.rename(tea, "Green tea")
    _, order = await shop.place(tea)
    await shop.rename(tea, "Greener tea")
    async with opened(database_url, MIGRATIONS) as database, shop.product.channel() as product:
        assert await rebuild(database, product) == Rebuilt(seen=1, changed=1)
        assert await rebuild(database, product) == Rebuilt(seen=1, changed=0)
    await shop.end_product()
    assert await shop.told(order["order_id"]) == ("copy", "Greener tea")


async def test_other_services_see_what_those_may_for_whom_they_speak(shop: Shop) -> None:
    _, placed = await shop.place(await shop.product_made("Tea"))
    async with shop.order.channel() as channel:
        order = (await asked_for(channel, placed["order_id"], CUSTOMER)).order
        assert (order.order_id, order.user_id) == (placed["order_id"], CUSTOMER.user_id)
        assert (order.status, order.version) == (ORDER_STATUS_PENDING, 1)
        assert [(each.product_name, each.quantity) for each in order.items] == [("Tea", 2)]
        assert (order.total.amount, order.total.currency) == (19_600, "KRW")
        assert (await asked_for(channel, placed["order_id"], ADMIN)).order == order
        for by in (OTHER_CUSTOMER, ANONYMOUS):
            with pytest.raises(NotFound):
                await asked_for(channel, placed["order_id"], by)


async def asked_for(channel: Channel, order_id: str, by: Principal) -> Any:
    context.principal.set(by)
    stub = OrderServiceStub(channel.raw)
    return await channel.call(stub.GetOrder, GetOrderRequest(order_id=order_id), seconds=RPC_SECONDS)


@pytest.mark.races
async def test_one_key_places_one_order(shop: Shop, database_url: Secret) -> None:
    tea = await shop.product_made("Tea")
    answers = await asyncio.gather(*(shop.place(tea) for _ in range(20)))
    orders = [document for status, document in answers if status == 202]
    assert orders
    assert all(each == orders[0] for each in orders)
    others = {(status, document["type"]) for status, document in answers if status != 202}
    assert others <= {(409, "urn:plainstack:problem:idempotency-key-in-use")}
    with psycopg.connect(database_url.value) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (1,)


async def test_without_anybody_else_it_runs_and_says_what_is_missing(tmp_path: Path) -> None:
    nowhere = Secret("postgresql://order:hunter2@127.0.0.1:1/order")
    async with running(NAME, main, nowhere, tmp_path, **NOBODY) as service:
        said = await service.until_ready(503)
        assert said["failures"].keys() == {"database"}
        assert "refused" in said["failures"]["database"]
        assert "hunter2" not in json.dumps(said)
        refused, problem = await service.ask("GET", "/orders", None, CUSTOMER)
        assert (refused.status, problem["status"]) == (503, 503)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"IDENTITY_KEY_ORDER_PRODUCT": ""}, "IDENTITY_KEY_ORDER_PRODUCT"),
        ({"IDENTITY_KEY_ORDER_INVENTORY": ""}, "IDENTITY_KEY_ORDER_INVENTORY"),
        ({"IDENTITY_KEY_ORDER_PAYMENT": ""}, "IDENTITY_KEY_ORDER_PAYMENT"),
        ({"SAGA_LEASE_SECONDS": "soon"}, "SAGA_LEASE_SECONDS"),
        ({"SAGA_LEASE_SECONDS": "2.9"}, "SAGA_LEASE_SECONDS"),
    ],
)
async def test_what_is_missing_or_wrong_is_named(
    tmp_path: Path, settings: dict[str, str], named: str
) -> None:
    own = {
        "PLAINSTACK_HOME": str(tmp_path),
        "DATABASE_URL_ORDER": "postgresql://order@127.0.0.1:1/order",
        "EVENTS_URL": NO_BUS,
    }
    keys = {identity_key_setting(each, NAME): "k1:" + "A" * 43 for each in callers(NAME)}
    with pytest.raises(ConfigError, match=named):
        async with asyncio.timeout(RPC_SECONDS):  # what is not refused runs on
            await main(Environment(own | NOBODY | keys | settings))
