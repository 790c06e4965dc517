"""The wallets' HTTP face, over requests and responses without sockets."""

import asyncio
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest

from services.payment.domain.payments import Charge, Deposit
from services.payment.handler import wallet_routes
from services.payment.service import PaymentService
from shared.context import ANONYMOUS, Principal
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.http.messages import Response
from shared.idempotency import IdempotentCalls
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule
from tests.services.asking import (
    CUSTOMER,
    OTHER_CUSTOMER,
    Asking,
    bad_fields,
    header,
    problem_code,
    read,
)
from tests.services.events import in_the_outbox
from tests.services.payment.conftest import payments_in

PAYMENT = UUID("018cc251-f400-7000-8000-000000000001")


def won(amount: int) -> dict[str, Any]:
    return {"amount": amount, "currency": "KRW"}


class Bank(Asking):
    """Clients of a payment service that also hears what other services ask."""

    def __init__(self, payments: PaymentService, database: Database, rules: Mapping[str, Rule]) -> None:
        super().__init__(wallet_routes(payments, IdempotentCalls(IdempotencyKeys(database)), rules))
        self.payments = payments

    async def deposit(self, document: object, key: str = "k", by: Principal = CUSTOMER) -> Response:
        return await self.ask("POST", "/wallet/deposits", document, by=by, idempotency_key=key)

    async def get(self, target: str, by: Principal = CUSTOMER) -> Any:
        response = await self.ask("GET", target, by=by)
        assert response.status == 200
        assert header(response, "cache-control") == "no-store"
        return read(response)


@pytest.fixture
def bank(database: Database, rules: Mapping[str, Rule]) -> Bank:
    return Bank(PaymentService(payments_in(database), "KRW", rules), database, rules)


async def test_a_wallet_is_empty_at_first(bank: Bank) -> None:
    assert await bank.get("/wallet") == {"balance": won(0)}
    assert await bank.get("/wallet/entries") == {"items": [], "next": None}


async def test_a_deposit_is_in_the_wallet(bank: Bank) -> None:
    response = await bank.deposit(won(100))
    assert response.status == 201
    assert header(response, "cache-control") == "no-store"
    deposit = read(response)
    assert deposit == {"deposit_id": deposit["deposit_id"], "amount": won(100), "balance": won(100)}
    assert UUID(deposit["deposit_id"]).version == 7
    assert read(await bank.deposit(won(50), "k2"))["balance"] == won(150)
    assert await bank.get("/wallet") == {"balance": won(150)}


async def test_everybody_has_a_wallet_of_their_own(bank: Bank) -> None:
    await bank.deposit(won(100))
    await bank.deposit(won(7), by=OTHER_CUSTOMER)  # with the same key
    assert await bank.get("/wallet") == {"balance": won(100)}
    assert await bank.get("/wallet", OTHER_CUSTOMER) == {"balance": won(7)}
    (entry,) = (await bank.get("/wallet/entries", OTHER_CUSTOMER))["items"]
    assert entry["amount"] == won(7)


async def test_entries_say_what_has_happened(bank: Bank) -> None:
    deposit = read(await bank.deposit(won(100)))
    await bank.payments.charge(Charge(PAYMENT, UUID(CUSTOMER.user_id), Money(30, "KRW")))
    await bank.payments.refund(PAYMENT)
    refund, charge, first = (await bank.get("/wallet/entries"))["items"]
    assert first == {
        "entry_id": first["entry_id"],
        "kind": "deposit",
        "amount": won(100),
        "balance": won(100),
        "deposit_id": deposit["deposit_id"],
        "at": first["at"],
    }
    assert (charge["kind"], charge["amount"], charge["balance"]) == ("charge", won(-30), won(70))
    assert (refund["kind"], refund["amount"], refund["balance"]) == ("refund", won(30), won(100))
    assert charge["payment_id"] == refund["payment_id"] == str(PAYMENT)
    assert "deposit_id" not in charge
    times = [datetime.fromisoformat(each["at"]) for each in (first, charge, refund)]
    assert times == sorted(times)
    assert first["at"].endswith("Z")


async def test_pages_lead_through_all_of_it(bank: Bank) -> None:
    for number in range(1, 8):
        await bank.deposit(won(number), f"k{number}")
    seen, cursor = [], ""
    while cursor is not None:
        page = await bank.get(f"/wallet/entries?limit=3&cursor={cursor}")
        seen.append([each["amount"]["amount"] for each in page["items"]])
        cursor = page["next"]
    assert seen == [[7, 6, 5], [4, 3, 2], [1]]


@pytest.mark.parametrize(
    ("query", "fields"),
    [("limit=0", ["limit"]), ("limit=101", ["limit"]), ("limit=x&cursor=!", ["limit", "cursor"])],
)
async def test_bad_parameters_are_named(bank: Bank, query: str, fields: list[str]) -> None:
    assert bad_fields(await bank.ask("GET", f"/wallet/entries?{query}", by=CUSTOMER)) == fields


@pytest.mark.parametrize(
    ("method", "target"), [("GET", "/wallet"), ("GET", "/wallet/entries"), ("POST", "/wallet/deposits")]
)
async def test_strangers_have_no_wallet(bank: Bank, method: str, target: str) -> None:
    refused = await bank.ask(method, target, won(1), by=ANONYMOUS, idempotency_key="k")
    assert refused.status == 401
    assert header(refused, "www-authenticate") == 'Bearer realm="plainstack"'


@pytest.mark.parametrize(
    ("document", "fields"),
    [
        (won(0), ["amount"]),
        (won(-1), ["amount"]),
        (won(MAX_AMOUNT + 1), ["amount"]),
        ({"amount": 1.5, "currency": "KRW"}, ["amount"]),
        ({"amount": "1", "currency": "KRW"}, ["amount"]),
        ({"amount": True, "currency": "KRW"}, ["amount"]),
        ({"amount": 1, "currency": "USD"}, ["currency"]),
        ({"amount": 1, "currency": "krw"}, ["currency"]),
        ({}, ["amount", "currency"]),
        ({"amount": 0, "currency": 1, "user_id": "x"}, ["amount", "currency", "user_id"]),
        ([], ["(body)"]),
    ],
)
async def test_every_bad_field_is_named(bank: Bank, document: object, fields: list[str]) -> None:
    assert bad_fields(await bank.deposit(document)) == fields
    assert await bank.get("/wallet") == {"balance": won(0)}


async def test_a_deposit_needs_a_key(bank: Bank) -> None:
    refused = await bank.ask("POST", "/wallet/deposits", won(1), by=CUSTOMER)
    assert refused.status == 400
    assert await bank.get("/wallet") == {"balance": won(0)}


async def test_asked_again_with_its_key_a_deposit_is_one(bank: Bank) -> None:
    first = await bank.deposit(won(100))
    await bank.payments.charge(Charge(PAYMENT, UUID(CUSTOMER.user_id), Money(30, "KRW")))
    again = await bank.deposit(won(100))
    assert (again.status, read(again)) == (201, read(first))
    assert header(again, "cache-control") == "no-store"
    assert await bank.get("/wallet") == {"balance": won(70)}


async def test_a_key_is_good_for_one_deposit(bank: Bank) -> None:
    await bank.deposit(won(100))
    assert (await bank.deposit(won(101))).status == 422
    assert await bank.get("/wallet") == {"balance": won(100)}


async def test_a_wallet_takes_in_so_much_and_no_more(bank: Bank) -> None:
    assert (await bank.deposit(won(MAX_AMOUNT))).status == 201
    for _ in range(2):
        refused = await bank.deposit(won(1), "k2")
        assert (refused.status, problem_code(refused)) == (409, "wallet-full")
    assert await bank.get("/wallet") == {"balance": won(MAX_AMOUNT)}


class Overtaken(PaymentService):
    """While it deposits, its key runs out, and is another's when it is done."""

    database: Database

    async def deposit(self, user_id: UUID, amount: Money) -> Deposit:
        deposit = await super().deposit(user_id, amount)
        await asyncio.create_task(self._lose_key())  # not in the transaction of this task
        return deposit

    async def _lose_key(self) -> None:
        async with self.database.connection() as connection:
            await connection.execute("UPDATE idempotency_keys SET claim = gen_random_uuid()")


async def test_there_is_no_deposit_without_its_answer(database: Database, rules: Mapping[str, Rule]) -> None:
    payments = Overtaken(payments_in(database), "KRW", rules)
    payments.database = database
    bank = Bank(payments, database, rules)
    assert (await bank.deposit(won(100))).status == 409
    assert await bank.get("/wallet") == {"balance": won(0)}
    assert await in_the_outbox(database) == []
