"""Wallets over HTTP, payments over gRPC: decode, ask the service, encode."""

from collections.abc import Mapping
from typing import Any

from shop.payment.v1.payment_pb2 import (
    DESCRIPTOR,
    ChargeOutcome,
    ChargeRequest,
    ChargeResponse,
    RefundOutcome,
    RefundRequest,
    RefundResponse,
)
from shop.payment.v1.payment_pb2_grpc import PaymentServiceServicer, add_PaymentServiceServicer_to_server

from services.payment.domain.ledger import MovementKind, WalletEntry
from services.payment.domain.payments import Charge, Deposit
from services.payment.service import PaymentService
from shared.http.decoding import read_json, read_query
from shared.http.messages import NO_STORE, Request, Response, json_response
from shared.http.money import MoneyBody
from shared.http.paging import PageQuery, cursor_fault, page_document
from shared.http.routing import Route
from shared.idempotency import ClaimedCall, IdempotentCalls
from shared.middleware.authorize import user_id_of, users_only
from shared.rpc.decoding import read_id
from shared.rpc.server import RpcService, rpc_service
from shared.rpc.values import read_money
from shared.rules import Rule


def wallet_routes(
    payments: PaymentService, idempotent: IdempotentCalls, rules: Mapping[str, Rule]
) -> list[Route]:
    """The rows of the wallets in the service's table. Users see and fill their own, nobody else's."""
    handler = WalletHandler(payments, idempotent, rules)
    for_users = users_only()
    return [
        Route("GET", "/wallet", for_users(handler.get)),
        Route("GET", "/wallet/entries", for_users(handler.entries)),
        Route("POST", "/wallet/deposits", for_users(handler.deposit)),
    ]


def payment_calls(payments: PaymentService) -> RpcService:
    """The contract of payments, answered."""
    return rpc_service(DESCRIPTOR, add_PaymentServiceServicer_to_server, PaymentCalls(payments))


class WalletHandler:
    """One method a row. `rules` let a body's wrong types and broken rules be named together."""

    def __init__(
        self, payments: PaymentService, idempotent: IdempotentCalls, rules: Mapping[str, Rule]
    ) -> None:
        self._payments = payments
        self._idempotent = idempotent
        self._rules = rules

    async def get(self, request: Request) -> Response:
        """What the caller has."""
        wallet = await self._payments.wallet(user_id_of(request.principal))
        return json_response(200, {"balance": wallet.balance}, [NO_STORE])

    async def entries(self, request: Request) -> Response:
        """A page of what has changed the caller's wallet, newest first."""
        query = read_query(request, PageQuery, {"cursor": cursor_fault})
        page = await self._payments.entries(user_id_of(request.principal), query.after, query.limit)
        return json_response(200, page_document(map(_entry_view, page.items), page.next), [NO_STORE])

    async def deposit(self, request: Request) -> Response:
        """More in the caller's wallet, once for each key."""
        body = await read_json(request, MoneyBody, self._rules)

        async def work(call: ClaimedCall) -> Response:
            async with call.effect():
                deposit = await self._payments.deposit(user_id_of(request.principal), body.to_money())
                return await call.keep(json_response(201, _deposit_view(deposit), [NO_STORE]))

        return await self._idempotent.answer(request, body, work)


class PaymentCalls(PaymentServiceServicer):
    """What other services ask, one method a call."""

    def __init__(self, payments: PaymentService) -> None:
        self._payments = payments

    async def Charge(self, request: ChargeRequest, _: object) -> ChargeResponse:  # noqa: N802
        """Money leaves a wallet, or does not."""
        amount = read_money(request.amount)
        payment_id, user_id = read_id("payment_id", request.payment_id), read_id("user_id", request.user_id)
        outcome = await self._payments.charge(Charge(payment_id, user_id, amount))
        return ChargeResponse(outcome=ChargeOutcome.Value(f"CHARGE_OUTCOME_{outcome}"))

    async def Refund(self, request: RefundRequest, _: object) -> RefundResponse:  # noqa: N802
        """Money is back in a wallet, or has never left it and never will."""
        outcome = await self._payments.refund(read_id("payment_id", request.payment_id))
        return RefundResponse(outcome=RefundOutcome.Value(f"REFUND_OUTCOME_{outcome}"))


def _entry_view(entry: WalletEntry) -> dict[str, Any]:
    """An entry as its user sees it."""
    cause = "deposit_id" if entry.kind is MovementKind.DEPOSIT else "payment_id"
    return {
        "entry_id": entry.entry_id,
        "kind": entry.kind,
        "amount": entry.amount,
        "balance": entry.balance,
        cause: entry.cause,
        "at": entry.at,
    }


def _deposit_view(deposit: Deposit) -> dict[str, Any]:
    """A deposit as its user sees it."""
    return {"deposit_id": deposit.deposit_id, "amount": deposit.amount, "balance": deposit.balance}
