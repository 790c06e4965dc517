"""The product service: `python -m services.product.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.product.domain import product_rules
from services.product.handler import product_calls, product_routes
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.duties import keep_up
from shared.events.outbox import Outbox
from shared.events.relay import Relay
from shared.events.transports import open_bus
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "product"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the catalogue, serve it and report what happens in it until told to stop.

    While the bus is away, reports wait in the outbox, and nothing else does.
    """
    settings = ServiceSettings.read(environment, NAME)
    rules = product_rules(currency_of(environment), CURRENCY_CODES)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, MIGRATIONS))
        bus = await stack.enter_async_context(open_bus(environment, database))
        readiness.require("database", database.check)
        outbox = Outbox(database, NAME)
        products = ProductService(PostgresProductRepository(database, outbox), rules)

        await stack.enter_async_context(background(Relay(database, bus, NAME).run(), "relay"))
        upkeep = keep_up(database.wait_until_migrated, [outbox.upkeep()])
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes, calls = product_routes(products, rules), [product_calls(products)]
        await stack.enter_async_context(serve_service(settings, routes, readiness, calls))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
