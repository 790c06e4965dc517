"""What the database itself refuses, whatever asks it; and that what nobody should have changed is found."""

import asyncio
from collections.abc import Iterator
from uuid import UUID

import psycopg
import pytest

from services.payment.domain.ledger import TrialBalance
from services.payment.domain.payments import Charge, amount_rules
from services.payment.main import MIGRATIONS
from services.payment.service import PaymentService
from shared.config import Secret
from shared.currency import CURRENCY_CODES
from shared.db.database import Database
from shared.money import MAX_AMOUNT, Money
from tests.engines import Engines
from tests.services.databases import opened
from tests.services.payment.conftest import payments_in, superuser

ANN = UUID("018cc251-f400-7000-8000-0000000000a1")
BOB = UUID("018cc251-f400-7000-8000-0000000000b1")
MOVEMENT = UUID("018cc251-f400-7000-8000-000000000001")
PAYMENT = UUID("018cc251-f400-7000-8000-000000000002")
DECLINED = UUID("018cc251-f400-7000-8000-000000000003")

Entry = tuple[str, UUID | None, str, int]  # account, whose wallet, currency, amount
Query = psycopg.Connection[tuple[object, ...]]


def won(amount: int) -> Money:
    return Money(amount, "KRW")


async def begin(payments: PaymentService) -> None:
    """Ann has 70 of the 100 that she deposited, and could not pay 71."""
    await payments.deposit(ANN, won(100))
    await payments.charge(Charge(PAYMENT, ANN, won(30)))
    await payments.charge(Charge(DECLINED, ANN, won(71)))


@pytest.fixture(scope="module")
def ledger_url(engines: Engines) -> Secret:
    """One for all tests, since none of them can change it."""

    async def fill() -> None:
        async with opened(url, MIGRATIONS) as database:
            await begin(service_over(database))

    url = engines.new_database()
    asyncio.run(fill())
    return url


@pytest.fixture
def role(ledger_url: Secret) -> Iterator[Query]:
    """The service's own role. Whatever is refused has left no trace."""
    with psycopg.connect(ledger_url.value, autocommit=True) as connection:
        before = contents(connection)
        yield connection
        assert contents(connection) == before


def service_over(database: Database) -> PaymentService:
    return PaymentService(payments_in(database), "KRW", amount_rules("KRW", CURRENCY_CODES))


def move(role: Query, kind: str, *entries: Entry, payment_id: UUID | None = None) -> None:
    with role.transaction():
        role.execute("INSERT INTO movements VALUES (%s, %s, %s)", [MOVEMENT, kind, payment_id])
        for entry in entries:
            role.execute(
                "INSERT INTO entries (movement_id, account, user_id, currency, amount)"
                " VALUES (%s, %s, %s, %s, %s)",
                [MOVEMENT, *entry],
            )


def contents(role: Query) -> list[object]:
    tables = ["wallets", "payments", "movements", "entries"]
    return [role.execute(f"SELECT * FROM {table} ORDER BY 1, 2".encode()).fetchall() for table in tables]


@pytest.mark.parametrize(
    ("kind", "entries"),
    [
        ("deposit", []),
        ("deposit", [("wallet", ANN, "KRW", 5)]),
        ("deposit", [("outside", None, "KRW", -5)]),
        ("deposit", [("outside", None, "KRW", -4), ("wallet", ANN, "KRW", 5)]),
        ("deposit", [("outside", None, "KRW", 5), ("wallet", ANN, "KRW", 5)]),
        ("deposit", [("outside", None, "USD", -5), ("wallet", ANN, "KRW", 5)]),
        ("deposit", [("outside", None, "KRW", -5), ("wallet", ANN, "KRW", 2), ("sales", None, "KRW", 3)]),
        ("deposit", [("outside", None, "KRW", -5), ("sales", None, "KRW", 5)]),
        ("deposit", [("outside", None, "KRW", 5), ("wallet", ANN, "KRW", -5)]),
        ("deposit", [("sales", None, "KRW", -5), ("wallet", ANN, "KRW", 5)]),
    ],
    ids=[
        "without entries",
        "only what a wallet gets",
        "only what somebody gives",
        "less is given than taken",
        "both take",
        "two currencies",
        "three entries",
        "past the wallets",
        "the wrong way",
        "out of the wrong account",
    ],
)
def test_what_does_not_add_up_is_refused(role: Query, kind: str, entries: list[Entry]) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="two entries that add up to zero"):
        move(role, kind, *entries)


def test_a_movement_cannot_be_added_to_later(role: Query) -> None:
    (first,) = role.execute("SELECT movement_id FROM movements WHERE kind = 'deposit'").fetchone() or ()
    add = "INSERT INTO entries (movement_id, account, currency, amount) VALUES (%s, %s, 'KRW', -100)"
    with pytest.raises(psycopg.errors.CheckViolation, match="two entries that add up to zero"):
        role.execute(add, [first, "sales"])
    with pytest.raises(psycopg.errors.UniqueViolation):
        role.execute(add, [first, "outside"])


@pytest.mark.parametrize(
    ("kind", "payment_id", "entries"),
    [
        ("charge", DECLINED, [("wallet", ANN, "KRW", -71), ("sales", None, "KRW", 71)]),
        ("refund", PAYMENT, [("sales", None, "KRW", -31), ("wallet", ANN, "KRW", 31)]),
        (
            "deposit",
            None,
            [("outside", None, "KRW", -MAX_AMOUNT + 99), ("wallet", ANN, "KRW", MAX_AMOUNT - 99)],
        ),
    ],
    ids=["below zero", "more than was ever deposited", "more than JSON keeps exact"],
)
def test_no_wallet_leaves_its_bounds(
    role: Query, kind: str, payment_id: UUID | None, entries: list[Entry]
) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="wallets"):
        move(role, kind, *entries, payment_id=payment_id)


def test_money_does_not_go_where_no_wallet_is(role: Query) -> None:
    for entry in [("wallet", BOB, "KRW", 5), ("wallet", ANN, "USD", 5), ("wallet", None, "KRW", 5)]:
        with pytest.raises(psycopg.errors.CheckViolation, match="entries"):
            move(role, "deposit", ("outside", None, entry[2], -5), entry)


def test_a_payment_is_charged_and_refunded_once(role: Query) -> None:
    with pytest.raises(psycopg.errors.UniqueViolation):
        move(role, "charge", ("wallet", ANN, "KRW", -30), ("sales", None, "KRW", 30), payment_id=PAYMENT)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE movements SET at = now()",
        "DELETE FROM movements",
        "TRUNCATE movements CASCADE",
        "UPDATE entries SET amount = amount WHERE false",
        "DELETE FROM entries",
        "TRUNCATE entries",
        "TRUNCATE payments CASCADE",
        "TRUNCATE wallets CASCADE",
    ],
)
def test_the_ledger_can_only_be_added_to(role: Query, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="append-only"):
        role.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wallets SET balance = 71, deposited = 101",
        "UPDATE wallets SET user_id = gen_random_uuid()",
        "INSERT INTO wallets (user_id, currency, balance, deposited) VALUES (gen_random_uuid(), 'KRW', 1, 1)",
        "INSERT INTO wallets (user_id, currency) SELECT user_id, currency FROM wallets"
        " ON CONFLICT (user_id, currency) DO UPDATE SET balance = 0",
    ],
)
def test_a_wallet_moves_with_its_entries_only(role: Query, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="moves with its entries"):
        role.execute(statement.encode())


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments SET status = 'DECLINED'",
        "UPDATE payments SET status = NULL, user_id = NULL, amount = NULL, currency = NULL",
        "UPDATE payments SET amount = 31",
        "UPDATE payments SET status = 'REFUNDED', amount = 31",
        "UPDATE payments SET payment_id = gen_random_uuid()",
        "DELETE FROM payments",
    ],
)
def test_what_has_become_of_a_payment_stays(role: Query, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege, match="has been decided"):
        role.execute(statement.encode())


TAMPERING = [
    ("UPDATE wallets SET balance = 71", "wrong_wallets"),
    ("UPDATE wallets SET deposited = 101", "wrong_wallets"),
    ("UPDATE wallets SET entry_count = 1", "wrong_wallets"),
    ("UPDATE entries SET balance = 71 WHERE number = 2", "wrong_wallets"),
    ("UPDATE payments SET status = 'DECLINED'", "wrong_payments"),
    ("UPDATE payments SET status = 'REFUNDED' WHERE status = 'CHARGED'", "wrong_payments"),
    ("UPDATE payments SET status = 'CHARGED'", "wrong_payments"),
    ("UPDATE payments SET amount = 31", "wrong_payments"),
    ("DELETE FROM entries WHERE account = 'sales'", "unbalanced_movements"),
    ("UPDATE entries SET amount = 31 WHERE account = 'sales'", "unbalanced_movements"),
    ("DELETE FROM entries", "unbalanced_movements"),
]


@pytest.mark.parametrize(("tampering", "view"), TAMPERING)
def test_what_a_superuser_has_tampered_with_is_found(
    engines: Engines, ledger_url: Secret, tampering: str, view: str
) -> None:
    count = f"SELECT count(*) FROM {view}".encode()
    with superuser(engines, ledger_url) as connection, connection.transaction(force_rollback=True):
        assert connection.execute(count).fetchone() == (0,)
        connection.execute(tampering.encode())
        assert connection.execute(count).fetchone() != (0,)


async def test_a_trial_balance_names_what_is_wrong(
    engines: Engines, database: Database, database_url: Secret
) -> None:
    payments = service_over(database)
    await begin(payments)
    assert await payments.trial_balance() == TrialBalance(-100, 70, 30, [], [], [])
    with superuser(engines, database_url) as connection:
        connection.execute("UPDATE wallets SET balance = 71")
        connection.execute("UPDATE payments SET status = 'CHARGED'")
        connection.execute("UPDATE entries SET amount = 31 WHERE account = 'sales'")
        found = connection.execute("SELECT movement_id FROM movements WHERE kind = 'charge'")
        ((charge,),) = found.fetchall()
    assert await payments.trial_balance() == TrialBalance(-100, 70, 31, [charge], [ANN], [DECLINED])


async def test_a_movement_moves_its_wallet(database: Database, database_url: Secret) -> None:
    await begin(service_over(database))
    with psycopg.connect(database_url.value, autocommit=True) as role:
        move(role, "deposit", ("wallet", ANN, "KRW", 5), ("outside", None, "KRW", -5))
        wallets = role.execute("SELECT balance, deposited, entry_count FROM wallets").fetchall()
        after = role.execute("SELECT balance FROM entries WHERE number = 3").fetchall()
    assert (wallets, after) == ([(75, 105, 3)], [(75,)])
