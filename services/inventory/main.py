"""The inventory service: `python -m services.inventory.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.inventory.clients import RemoteCatalogue
from services.inventory.handler import catalogue_subscription, inventory_calls, inventory_routes
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService, StockOpening
from services.inventory.settings import InventorySettings
from services.inventory.upkeep import expiry
from shared.config import Environment
from shared.db.database import Database
from shared.duties import keep_up
from shared.events.consumer import Consumer
from shared.events.outbox import Outbox
from shared.events.rebuilt import Rebuilt
from shared.events.relay import Relay
from shared.events.transports import open_bus
from shared.rpc.channel import Channel
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "inventory"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the inventory, serve it, keep it up and report what happens in it until told to stop.

    The bus need not be there: reports wait in the outbox, and new products for being opened.
    """
    service, settings = ServiceSettings.read(environment, NAME), InventorySettings.read(environment)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(service.database_url, MIGRATIONS))
        bus = await stack.enter_async_context(open_bus(environment, database))
        readiness.require("database", database.check)
        outbox, consumer = Outbox(database, NAME), consumer_of(database)
        repository = PostgresInventoryRepository(database, outbox)
        inventory = InventoryService(repository, settings.reservation_lifetime)

        await stack.enter_async_context(background(Relay(database, bus, NAME).run(), "relay"))
        await stack.enter_async_context(background(consumer.run(bus), "consumer"))
        duties = [expiry(inventory), outbox.upkeep(), *consumer.upkeep(bus)]
        upkeep = keep_up(database.wait_until_migrated, duties)
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes, calls = inventory_routes(inventory), [inventory_calls(inventory)]
        await stack.enter_async_context(serve_service(service, routes, readiness, calls))
        await forever()


def consumer_of(database: Database) -> Consumer:
    """What takes in other services' events."""
    return Consumer(database, NAME, [catalogue_subscription(_opening(database))])


async def rebuild(database: Database, product: Channel) -> Rebuilt:
    """Open the stock of every product of the catalogue that has none yet. Raises Unavailable."""
    return await _opening(database).open_all(RemoteCatalogue(product))


def _opening(database: Database) -> StockOpening:
    return StockOpening(PostgresInventoryRepository(database, Outbox(database, NAME)))


if __name__ == "__main__":
    run(NAME, main)
