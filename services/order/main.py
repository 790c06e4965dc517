"""The order service: `python -m services.order.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.order.clients import RemoteCatalogue
from services.order.domain import order_rules
from services.order.handler import order_calls, order_routes
from services.order.repository import PostgresOrderRepository
from services.order.service import OrderService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.duties import keep_up
from shared.idempotency import IdempotentCalls
from shared.rpc.channel import Channel
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "order"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Take orders until told to stop. The product service need not be there at the start."""
    settings = ServiceSettings.read(environment, NAME)
    currency = currency_of(environment)
    rules = order_rules(currency, CURRENCY_CODES)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, MIGRATIONS))
        product = await stack.enter_async_context(Channel.read(environment, NAME, "product"))
        readiness.require("database", database.check)
        keys = IdempotencyKeys(database)
        orders = OrderService(PostgresOrderRepository(database), RemoteCatalogue(product), rules, currency)

        upkeep = keep_up(database.wait_until_migrated, [keys.upkeep()])
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes = order_routes(orders, IdempotentCalls(keys), rules)
        await stack.enter_async_context(serve_service(settings, routes, readiness, [order_calls(orders)]))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
