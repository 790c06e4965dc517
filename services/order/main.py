"""The order service: `python -m services.order.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.order.clients import RemoteCatalogue, RemoteInventory, RemoteWallets
from services.order.domain.fulfilment import Participants
from services.order.domain.orders import order_rules
from services.order.handler import catalogue_subscription, order_calls, order_routes
from services.order.repository.articles import PostgresArticleRepository
from services.order.repository.orders import PostgresOrderRepository
from services.order.repository.sagas import PostgresSagaRepository
from services.order.saga import ORDER_SAGA
from services.order.service.copies import CatalogueCopies
from services.order.service.orchestrator import Orchestrator
from services.order.service.orders import OrderService
from services.order.settings import SagaSettings
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.db.idempotency_keys import IdempotencyKeys
from shared.duties import keep_up
from shared.events.consumer import Consumer
from shared.events.outbox import Outbox
from shared.events.rebuilt import Rebuilt
from shared.events.relay import Relay
from shared.events.transports import open_bus
from shared.idempotency import IdempotentCalls
from shared.rpc.channel import Channel
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "order"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Take orders, bring them to an end, report them, and keep copies of the catalogue, until told to stop.

    None of the other services need be there, nor the bus: orders stay pending for a while, reports wait in
    the outbox, copies stay as they are.
    """
    sagas = SagaSettings.read(environment)
    settings = ServiceSettings.read(environment, NAME)
    currency = currency_of(environment)
    rules = order_rules(currency, CURRENCY_CODES)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.database_url, MIGRATIONS))
        bus = await stack.enter_async_context(open_bus(environment, database))
        product, inventory, payment = [
            await stack.enter_async_context(Channel.read(environment, NAME, callee))
            for callee in ("product", "inventory", "payment")
        ]
        readiness.require("database", database.check)
        keys, outbox, consumer = IdempotencyKeys(database), Outbox(database, NAME), consumer_of(database)
        repository = PostgresOrderRepository(database, outbox)
        orchestrator = Orchestrator(
            ORDER_SAGA,
            repository,
            PostgresSagaRepository(database, repository),
            Participants(RemoteInventory(inventory), RemoteWallets(payment)),
            sagas.lease_seconds,
            is_leaving=lambda: readiness.draining,
        )
        orders = OrderService(repository, RemoteCatalogue(product), orchestrator, rules, currency)

        await stack.enter_async_context(background(Relay(database, bus, NAME).run(), "relay"))
        await stack.enter_async_context(background(consumer.run(bus), "consumer"))
        await stack.enter_async_context(background(orchestrator.run(), "orchestrator"))
        duties = [keys.upkeep(), outbox.upkeep(), orchestrator.upkeep(), *consumer.upkeep(bus)]
        upkeep = keep_up(database.wait_until_migrated, duties)
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes = order_routes(orders, IdempotentCalls(keys), rules)
        await stack.enter_async_context(serve_service(settings, routes, readiness, [order_calls(orders)]))
        await forever()


def consumer_of(database: Database) -> Consumer:
    """What takes in other services' events."""
    return Consumer(database, NAME, [catalogue_subscription(_copies(database))])


async def rebuild(database: Database, product: Channel) -> Rebuilt:
    """Compare all copies with the catalogue, and mend those that are different. Raises Unavailable."""
    return await _copies(database).rebuild(RemoteCatalogue(product))


def _copies(database: Database) -> CatalogueCopies:
    return CatalogueCopies(PostgresArticleRepository(database))


if __name__ == "__main__":
    run(NAME, main)
