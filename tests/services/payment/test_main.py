"""The whole service: real sockets, a real database, signed requests."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from shop.common.v1.money_pb2 import Money
from shop.payment.v1.payment_pb2 import ChargeOutcome, ChargeRequest, RefundOutcome, RefundRequest
from shop.payment.v1.payment_pb2_grpc import PaymentServiceStub

from services.payment.main import NAME, main
from shared.config import Secret
from shared.context import Principal
from shared.errors import ApplicationError, Conflict, Invalid, Unavailable
from shared.events.envelope import decode
from shared.events.transports import open_bus
from shared.http.client import ClientResponse
from shared.rpc.channel import Channel
from tests.services.running import RunningService, running
from tests.shared.auth.valkey import Valkey
from tests.waiting import eventually

ANN = Principal(
    "018cc251-f400-7000-8000-0000000000a1", "session", "token", 2_000_000_000, frozenset({"customer"})
)
PAYMENTS = [str(UUID(int=0x018CC251F40070008000000000001000 + number)) for number in range(50)]
PATIENCE_SECONDS = 20.0


def won(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "KRW"}


class Order:
    """What the order service asks of payments."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._stub = PaymentServiceStub(channel.raw)

    async def charge(
        self, payment_id: str, amount: int, currency: str = "KRW", user_id: str = ANN.user_id
    ) -> str:
        money = Money(amount=amount, currency=currency)
        request = ChargeRequest(payment_id=payment_id, user_id=user_id, amount=money)
        answer = await self._channel.call(self._stub.Charge, request, seconds=PATIENCE_SECONDS)
        return ChargeOutcome.Name(answer.outcome).removeprefix("CHARGE_OUTCOME_")

    async def refund(self, payment_id: str) -> str:
        request = RefundRequest(payment_id=payment_id)
        answer = await self._channel.call(self._stub.Refund, request, seconds=PATIENCE_SECONDS)
        return RefundOutcome.Name(answer.outcome).removeprefix("REFUND_OUTCOME_")


@pytest.fixture
async def service(database_url: Secret, tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running(NAME, main, database_url, tmp_path) as service:
        await service.until_ready()
        yield service


@pytest.fixture
async def order(service: RunningService) -> AsyncIterator[Order]:
    async with service.channel("order") as channel:
        yield Order(channel)


async def deposit(service: RunningService, amount: int, key: str = "k1") -> tuple[ClientResponse, Any]:
    return await service.ask("POST", "/wallet/deposits", won(amount), ANN, ("Idempotency-Key", key))


async def balance(service: RunningService) -> int:
    _, wallet = await service.ask("GET", "/wallet", None, ANN)
    amount: int = wallet["balance"]["amount"]
    return amount


async def test_what_is_deposited_can_be_spent_and_comes_back(service: RunningService, order: Order) -> None:
    made, deposited = await deposit(service, 100)
    assert (made.status, deposited["balance"]) == (201, won(100))
    assert await order.charge(PAYMENTS[0], 30) == "CHARGED"
    assert await order.charge(PAYMENTS[1], 71) == "DECLINED"
    assert await balance(service) == 70
    assert await order.refund(PAYMENTS[0]) == "REFUNDED"
    assert await order.refund(PAYMENTS[1]) == "NOTHING_TO_REFUND"
    assert await order.refund(PAYMENTS[2]) == "NOTHING_TO_REFUND"
    assert await order.charge(PAYMENTS[2], 30) == "ALREADY_CANCELLED"
    _, page = await service.ask("GET", "/wallet/entries?limit=2", None, ANN)
    assert [each["kind"] for each in page["items"]] == ["refund", "charge"]
    _, last = await service.ask("GET", f"/wallet/entries?limit=2&cursor={page['next']}", None, ANN)
    assert [each["deposit_id"] for each in last["items"]] == [deposited["deposit_id"]]


async def test_what_other_services_may_not_ask(service: RunningService, order: Order) -> None:
    await deposit(service, 100)
    await order.charge(PAYMENTS[0], 30)

    async def refusal(*charge: Any) -> ApplicationError:
        with pytest.raises(ApplicationError) as refused:
            await order.charge(*charge)
        return refused.value

    other = await refusal(PAYMENTS[0], 31)
    assert (type(other), other.code) == (Conflict, "other-payment")
    for charge, fields in {
        (PAYMENTS[1], 0, "USD"): ["amount.amount", "amount.currency"],
        (PAYMENTS[1], -1): ["amount.amount"],
        ("7", 1): ["payment_id"],
        (PAYMENTS[1], 1, "KRW", ""): ["user_id"],
    }.items():
        bad = await refusal(*charge)
        assert isinstance(bad, Invalid)
        assert [each.field for each in bad.fields] == fields
    with pytest.raises(Invalid):
        await order.refund("")
    assert await balance(service) == 70


async def test_an_amount_must_be_given(service: RunningService) -> None:
    async with service.channel("order") as channel:
        request = ChargeRequest(payment_id=PAYMENTS[0], user_id=ANN.user_id)
        with pytest.raises(Invalid) as refused:
            await channel.call(PaymentServiceStub(channel.raw).Charge, request, seconds=PATIENCE_SECONDS)
    assert [each.field for each in refused.value.fields] == ["amount.amount", "amount.currency"]


async def test_what_happens_while_the_bus_is_away_is_told_later(
    database_url: Secret, tmp_path: Path, valkey: Valkey
) -> None:
    valkey.kill()
    async with running(NAME, main, database_url, tmp_path, EVENTS_URL=valkey.url.value) as service:
        await service.until_ready()
        _, deposited = await deposit(service, 100)
        async with service.channel("order") as channel:
            assert await Order(channel).charge(PAYMENTS[0], 30) == "CHARGED"
            assert await Order(channel).refund(PAYMENTS[0]) == "REFUNDED"
        valkey.start()
        expected = {
            deposited["deposit_id"]: ["shop.payment.v1.WalletDeposited"],
            PAYMENTS[0]: ["shop.payment.v1.PaymentCharged", "shop.payment.v1.PaymentRefunded"],
        }

        async def are_all_there() -> bool:
            return await told(service) == expected

        await eventually(are_all_there, seconds=30.0)


async def told(service: RunningService) -> dict[str, list[str]]:
    """The kinds of event on the bus, in their order for each subject; none while the bus is away."""
    kinds = defaultdict[str, list[str]](list)
    async with open_bus(service.environment) as bus:
        with suppress(Unavailable):
            async for message in bus.history(NAME):
                event = decode(message.value)
                kinds[event.subject].append(event.type)
    return kinds


@pytest.mark.races
async def test_of_50_charges_a_wallet_pays_the_7_that_it_can(service: RunningService, order: Order) -> None:
    await deposit(service, 79)
    outcomes = await asyncio.gather(*(order.charge(payment_id, 11) for payment_id in PAYMENTS))
    assert Counter(outcomes) == {"CHARGED": 7, "DECLINED": 43}
    assert await balance(service) == 2


@pytest.mark.races
async def test_deposits_at_once_with_one_key_are_one(service: RunningService) -> None:
    """Whoever comes while the first is at work is told so, and may ask again; nobody deposits twice."""
    answers = await asyncio.gather(*(deposit(service, 100) for _ in range(20)))
    assert {response.status for response, _ in answers} <= {201, 409}
    made = {document["deposit_id"] for response, document in answers if response.status == 201}
    again, same = await deposit(service, 100)
    assert (again.status, {same["deposit_id"]}) == (201, made)
    assert await balance(service) == 100
    _, page = await service.ask("GET", "/wallet/entries", None, ANN)
    assert len(page["items"]) == 1


async def test_without_its_database_it_runs_and_says_so(tmp_path: Path) -> None:
    nowhere = Secret("postgresql://payment:hunter2@127.0.0.1:1/payment")
    async with running(NAME, main, nowhere, tmp_path) as service:
        await service.until_ready(503)
        refused, problem = await service.ask("GET", "/wallet", None, ANN)
        assert (refused.status, problem["status"]) == (503, 503)
        assert (await deposit(service, 1))[0].status == 503
