"""The payment service: `python -m services.payment.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.payment.domain.payments import amount_rules
from services.payment.handler import payment_calls, wallet_routes
from services.payment.repository import PostgresPaymentRepository
from services.payment.service import PaymentService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.duties import keep_up
from shared.events.outbox import Outbox
from shared.events.relay import Relay
from shared.events.transports import open_bus
from shared.idempotency import IdempotentCalls
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "payment"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the ledger, serve it, keep it up and report what happens in it until told to stop.

    While the bus is away, reports wait in the outbox, and nothing else does.
    """
    settings = ServiceSettings.read(environment, NAME)
    currency = currency_of(environment)
    rules = amount_rules(currency, CURRENCY_CODES)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, MIGRATIONS))
        bus = await stack.enter_async_context(open_bus(environment, database))
        readiness.require("database", database.check)
        keys, outbox = IdempotencyKeys(database), Outbox(database, NAME)
        payments = PaymentService(PostgresPaymentRepository(database, outbox), currency, rules)

        await stack.enter_async_context(background(Relay(database, bus, NAME).run(), "relay"))
        upkeep = keep_up(database.wait_until_migrated, [keys.upkeep(), outbox.upkeep()])
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes, calls = wallet_routes(payments, IdempotentCalls(keys), rules), [payment_calls(payments)]
        await stack.enter_async_context(serve_service(settings, routes, readiness, calls))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
