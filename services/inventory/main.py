"""The inventory service: `python -m services.inventory.main`."""

from contextlib import AsyncExitStack
from pathlib import Path

from services.inventory.handler import inventory_calls, inventory_routes
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService
from services.inventory.settings import InventorySettings
from services.inventory.upkeep import expiry
from shared.config import Environment
from shared.db.database import Database
from shared.duties import keep_up
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service
from shared.tasks import background

NAME = "inventory"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the inventory, serve it and keep it up until told to stop."""
    service, settings = ServiceSettings.read(environment, NAME), InventorySettings.read(environment)
    readiness = Readiness()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(service.database_url, MIGRATIONS))
        readiness.require("database", database.check)
        inventory = InventoryService(PostgresInventoryRepository(database), settings.reservation_lifetime)
        upkeep = keep_up(database.wait_until_migrated, [expiry(inventory)])
        await stack.enter_async_context(background(upkeep, "upkeep"))
        routes, calls = inventory_routes(inventory), [inventory_calls(inventory)]
        await stack.enter_async_context(serve_service(service, routes, readiness, calls))
        await forever()


if __name__ == "__main__":
    run(NAME, main)
