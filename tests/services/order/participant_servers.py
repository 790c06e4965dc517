"""Inventory and payment on sockets: they decide as the test wants, and keep what they were asked."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from google.protobuf.message import Message
from shop.inventory.v1 import inventory_pb2 as inventory
from shop.inventory.v1.inventory_pb2_grpc import (
    InventoryServiceServicer,
    add_InventoryServiceServicer_to_server,
)
from shop.payment.v1 import payment_pb2 as payment
from shop.payment.v1.payment_pb2_grpc import PaymentServiceServicer, add_PaymentServiceServicer_to_server

from shared.auth.identity import IdentityVerifier
from shared.config import LOOPBACK, Secret, identity_key_setting
from shared.rpc.server import rpc_service, serve_rpc
from shared.runtime import Readiness


class InventoryServer(InventoryServiceServicer):
    """Whoever asks for something gets it, until the test says otherwise."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.reserves = inventory.RESERVE_OUTCOME_RESERVED
        self.releases = inventory.RELEASE_OUTCOME_RELEASED
        self.commits = inventory.COMMIT_OUTCOME_COMMITTED

    async def GetStock(self, request: inventory.GetStockRequest, _: object) -> inventory.GetStockResponse:  # noqa: N802
        raise NotImplementedError  # order does not ask

    async def Reserve(self, request: inventory.ReserveRequest, _: object) -> inventory.ReserveResponse:  # noqa: N802
        self.asked.append(request)
        return inventory.ReserveResponse(outcome=self.reserves)

    async def Release(self, request: inventory.ReleaseRequest, _: object) -> inventory.ReleaseResponse:  # noqa: N802
        self.asked.append(request)
        return inventory.ReleaseResponse(outcome=self.releases)

    async def Commit(self, request: inventory.CommitRequest, _: object) -> inventory.CommitResponse:  # noqa: N802
        self.asked.append(request)
        return inventory.CommitResponse(outcome=self.commits)


class PaymentServer(PaymentServiceServicer):
    """Likewise."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.charges = payment.CHARGE_OUTCOME_CHARGED
        self.refunds = payment.REFUND_OUTCOME_REFUNDED

    async def Charge(self, request: payment.ChargeRequest, _: object) -> payment.ChargeResponse:  # noqa: N802
        self.asked.append(request)
        return payment.ChargeResponse(outcome=self.charges)

    async def Refund(self, request: payment.RefundRequest, _: object) -> payment.RefundResponse:  # noqa: N802
        self.asked.append(request)
        return payment.RefundResponse(outcome=self.refunds)


@asynccontextmanager
async def serving(stock: InventoryServer, wallets: PaymentServer) -> AsyncIterator[dict[str, str]]:
    """Both, while the block runs; the settings by which order finds them."""
    services = {
        "inventory": rpc_service(inventory.DESCRIPTOR, add_InventoryServiceServicer_to_server, stock),
        "payment": rpc_service(payment.DESCRIPTOR, add_PaymentServiceServicer_to_server, wallets),
    }
    keys = {name: Secret("k1:" + secrets.token_urlsafe(32)) for name in services}
    verifiers = {name: IdentityVerifier(name, {"order": key}) for name, key in keys.items()}
    address = (LOOPBACK, 0)
    async with (
        serve_rpc("inventory", [services["inventory"]], address, verifiers["inventory"], Readiness()) as one,
        serve_rpc("payment", [services["payment"]], address, verifiers["payment"], Readiness()) as other,
    ):
        settings = {
            "INVENTORY_RPC_ADDRESSES": f"{LOOPBACK}:{one.port}",
            "PAYMENT_RPC_ADDRESSES": f"{LOOPBACK}:{other.port}",
        }
        yield settings | {identity_key_setting("order", name): key.value for name, key in keys.items()}
