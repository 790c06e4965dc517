"""What order says to inventory and payment, and what it makes of their answers; over sockets."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.inventory.v1 import inventory_pb2 as inventory
from shop.payment.v1 import payment_pb2 as payment

from services.order.clients import RemoteInventory, RemoteWallets, payment_of, reservation_of
from services.order.domain.fulfilment import DONE, Answer
from services.order.domain.orders import Order, OrderItem
from shared.config import Environment, Secret
from shared.errors import Conflict, Unavailable
from shared.money import Money
from shared.rpc.channel import Channel
from tests.services.order.conftest import MILK, NOON, TEA
from tests.services.order.participant_servers import InventoryServer, PaymentServer, serving

ITEMS = (OrderItem(TEA.product_id, "Tea", 2, TEA.price), OrderItem(MILK.product_id, "Milk", 1, MILK.price))
ORDER = Order(UUID(int=1), UUID(int=0xA), ITEMS, Money(22_100, "KRW"), NOON)
# They are in databases: to make them in another way is to lose orders that are under way.
RESERVATION, PAYMENT = "94005c01-c539-5d44-9656-7bcedc7246d8", "c14c3469-f156-5225-83a0-ef96ba61d6b2"


@dataclass
class Both:
    stock: InventoryServer
    wallets: PaymentServer
    inventory: RemoteInventory
    payment: RemoteWallets


@pytest.fixture
async def both() -> AsyncIterator[Both]:
    stock, wallets = InventoryServer(), PaymentServer()
    async with serving(stock, wallets) as settings:
        environment = Environment(settings)
        async with (
            Channel.read(environment, "order", "inventory") as to_inventory,
            Channel.read(environment, "order", "payment") as to_payment,
        ):
            yield Both(stock, wallets, RemoteInventory(to_inventory), RemoteWallets(to_payment))


def test_an_order_is_known_under_the_same_identifiers_for_ever() -> None:
    assert reservation_of(ORDER.order_id) == RESERVATION
    assert payment_of(ORDER.order_id) == PAYMENT


async def test_goods_are_named_by_the_orders_reservation(both: Both) -> None:
    for ask in (both.inventory.reserve, both.inventory.commit, both.inventory.release):
        assert await ask(ORDER) == DONE
    items = [
        inventory.ReservationItem(product_id=str(each.product_id), quantity=each.quantity) for each in ITEMS
    ]
    assert both.stock.asked == [
        inventory.ReserveRequest(reservation_id=RESERVATION, items=items),
        inventory.CommitRequest(reservation_id=RESERVATION),
        inventory.ReleaseRequest(reservation_id=RESERVATION),
    ]


async def test_money_is_named_by_the_orders_payment(both: Both) -> None:
    assert await both.payment.charge(ORDER) == DONE
    assert await both.payment.refund(ORDER) == DONE
    total = MoneyMessage(amount=22_100, currency="KRW")
    assert both.wallets.asked == [
        payment.ChargeRequest(payment_id=PAYMENT, user_id=str(ORDER.user_id), amount=total),
        payment.RefundRequest(payment_id=PAYMENT),
    ]


async def test_refusals_are_reasons(both: Both) -> None:
    async def reserved(outcome: inventory.ReserveOutcome.ValueType) -> Answer:
        both.stock.reserves = outcome
        return await both.inventory.reserve(ORDER)

    async def committed(outcome: inventory.CommitOutcome.ValueType) -> Answer:
        both.stock.commits = outcome
        return await both.inventory.commit(ORDER)

    async def charged(outcome: payment.ChargeOutcome.ValueType) -> Answer:
        both.wallets.charges = outcome
        return await both.payment.charge(ORDER)

    assert [(await reserved(each)).refusal for each in inventory.ReserveOutcome.values()[2:]] == [
        "out_of_stock",
        "reservation_cancelled",
        "reservation_expired",
    ]
    assert [(await committed(each)).refusal for each in inventory.CommitOutcome.values()[2:]] == [
        "reservation_expired",
        "reservation_cancelled",
        "not_reserved",
    ]
    assert [(await charged(each)).refusal for each in payment.ChargeOutcome.values()[2:]] == [
        "payment_declined",
        "payment_cancelled",
    ]


async def test_nothing_to_refund_is_refunded(both: Both) -> None:
    both.wallets.refunds = payment.REFUND_OUTCOME_NOTHING_TO_REFUND
    assert await both.payment.refund(ORDER) == DONE


async def test_goods_that_have_left_cannot_be_released(both: Both) -> None:
    both.stock.releases = inventory.RELEASE_OUTCOME_ALREADY_COMMITTED
    with pytest.raises(Conflict) as refused:
        await both.inventory.release(ORDER)
    assert refused.value.code == "already-committed"


async def test_what_a_newer_contract_says_is_no_answer(both: Both) -> None:
    both.stock.reserves = 99  # type: ignore[assignment]
    with pytest.raises(KeyError):
        await both.inventory.reserve(ORDER)


async def test_who_is_not_there_gives_no_answer() -> None:
    async with Channel("order", "payment", ["127.0.0.1:1"], Secret("k1:" + "A" * 43)) as nowhere:
        with pytest.raises(Unavailable):
            await RemoteWallets(nowhere).charge(ORDER)
