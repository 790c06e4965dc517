"""The product service: `python -m services.product.main`."""

from pathlib import Path

from services.product.domain import product_rules
from services.product.handler import product_calls, product_routes
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.runtime import Readiness, forever, run
from shared.service import ServiceSettings, serve_service

NAME = "product"
MIGRATIONS = Path(__file__).parent / "migrations"


async def main(environment: Environment) -> None:
    """Open the catalogue and serve it until told to stop."""
    settings = ServiceSettings.read(environment, NAME)
    rules = product_rules(currency_of(environment), CURRENCY_CODES)
    readiness = Readiness()
    async with Database(settings.database_url, MIGRATIONS) as database:
        readiness.require("database", database.check)
        products = ProductService(PostgresProductRepository(database), rules)
        routes, calls = product_routes(products, rules), [product_calls(products)]
        async with serve_service(settings, routes, readiness, calls):
            await forever()


if __name__ == "__main__":
    run(NAME, main)
