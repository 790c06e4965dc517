"""What order asks other services, over gRPC: messages ↔ domain.

A saga's commands name what they are about by identifiers made from the order's: whoever sends one again, in
another process and another year, names the same. They are the idempotency keys of its steps.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from uuid import UUID, uuid5

from shop.inventory.v1.inventory_pb2 import (
    CommitOutcome,
    CommitRequest,
    ReleaseOutcome,
    ReleaseRequest,
    ReservationItem,
    ReserveOutcome,
    ReserveRequest,
)
from shop.inventory.v1.inventory_pb2_grpc import InventoryServiceStub
from shop.payment.v1.payment_pb2 import ChargeOutcome, ChargeRequest, RefundRequest
from shop.payment.v1.payment_pb2_grpc import PaymentServiceStub
from shop.product.v1.product_pb2 import GetProductsRequest, ListProductsRequest, Product
from shop.product.v1.product_pb2_grpc import ProductServiceStub

from services.order.domain.articles import Article
from services.order.domain.fulfilment import DONE, Answer
from services.order.domain.orders import Order
from shared.errors import Conflict
from shared.rpc.channel import Channel
from shared.rpc.values import money_message, read_money

PAGE_SECONDS = 10.0  # nobody waits for a snapshot


class RemoteCatalogue:
    """The domain's Catalogue: the product service."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._product = ProductServiceStub(channel.raw)

    async def articles(self, product_ids: Sequence[UUID], seconds: float) -> Mapping[UUID, Article]:
        """All in one call."""
        request = GetProductsRequest(product_ids=map(str, product_ids))
        answer = await self._channel.call(self._product.GetProducts, request, seconds=seconds)
        articles = map(_article, answer.products)
        return {article.product_id: article for article in articles}

    async def every_article(self) -> AsyncIterator[Article]:
        """Page by page, as large as product likes them."""
        request = ListProductsRequest()
        while True:
            page = await self._channel.call(self._product.ListProducts, request, seconds=PAGE_SECONDS)
            for product in page.products:
                yield _article(product)
            if not page.next_after_product_id:
                return
            request = ListProductsRequest(after_product_id=page.next_after_product_id)


class RemoteInventory:
    """The domain's Inventory: the inventory service."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inventory = InventoryServiceStub(channel.raw)

    async def reserve(self, order: Order) -> Answer:
        """Nothing is set aside unless it says so."""
        items = (
            ReservationItem(product_id=str(item.product_id), quantity=item.quantity) for item in order.items
        )
        request = ReserveRequest(reservation_id=reservation_of(order.order_id), items=items)
        answer = await self._channel.call(self._inventory.Reserve, request)
        return _RESERVED[answer.outcome]

    async def release(self, order: Order) -> Answer:
        """It refuses nothing but what has left."""
        request = ReleaseRequest(reservation_id=reservation_of(order.order_id))
        answer = await self._channel.call(self._inventory.Release, request)
        if answer.outcome != ReleaseOutcome.RELEASE_OUTCOME_RELEASED:
            raise Conflict("The goods have left already.", code="already-committed")
        return DONE

    async def commit(self, order: Order) -> Answer:
        """Decided under the reservation's own lock."""
        request = CommitRequest(reservation_id=reservation_of(order.order_id))
        answer = await self._channel.call(self._inventory.Commit, request)
        return _COMMITTED[answer.outcome]


class RemoteWallets:
    """The domain's Wallets: the payment service."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._payment = PaymentServiceStub(channel.raw)

    async def charge(self, order: Order) -> Answer:
        """All or nothing."""
        request = ChargeRequest(
            payment_id=payment_of(order.order_id),
            user_id=str(order.user_id),
            amount=money_message(order.total),
        )
        answer = await self._channel.call(self._payment.Charge, request)
        return _CHARGED[answer.outcome]

    async def refund(self, order: Order) -> Answer:
        """Whether or not there is anything to refund, there will be nothing."""
        request = RefundRequest(payment_id=payment_of(order.order_id))
        await self._channel.call(self._payment.Refund, request)
        return DONE


def reservation_of(order_id: UUID) -> str:
    """The key of reserve_stock, release_stock and commit_stock."""
    return str(uuid5(order_id, "reservation"))


def payment_of(order_id: UUID) -> str:
    """The key of charge_wallet and refund_wallet."""
    return str(uuid5(order_id, "payment"))


# What the participants' final outcomes mean to an order; one from a newer contract is no answer.
_RESERVED = {
    ReserveOutcome.RESERVE_OUTCOME_RESERVED: DONE,
    ReserveOutcome.RESERVE_OUTCOME_OUT_OF_STOCK: Answer("out_of_stock"),
    ReserveOutcome.RESERVE_OUTCOME_ALREADY_CANCELLED: Answer("reservation_cancelled"),
    ReserveOutcome.RESERVE_OUTCOME_RESERVATION_EXPIRED: Answer("reservation_expired"),
}
_COMMITTED = {
    CommitOutcome.COMMIT_OUTCOME_COMMITTED: DONE,
    CommitOutcome.COMMIT_OUTCOME_RESERVATION_EXPIRED: Answer("reservation_expired"),
    CommitOutcome.COMMIT_OUTCOME_ALREADY_CANCELLED: Answer("reservation_cancelled"),
    CommitOutcome.COMMIT_OUTCOME_NOT_RESERVED: Answer("not_reserved"),
}
_CHARGED = {
    ChargeOutcome.CHARGE_OUTCOME_CHARGED: DONE,
    ChargeOutcome.CHARGE_OUTCOME_DECLINED: Answer("payment_declined"),
    ChargeOutcome.CHARGE_OUTCOME_ALREADY_CANCELLED: Answer("payment_cancelled"),
}


def _article(product: Product) -> Article:
    return Article(
        UUID(product.product_id), product.name, read_money(product.price), product.archived, product.version
    )
