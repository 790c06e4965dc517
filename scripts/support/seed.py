"""Loads the sample catalogue; products that are there already are left as they are."""

import asyncio
import logging
import sys

from scripts.support.failures import SetupError, exit_status
from scripts.support.sample_products import sample_products
from scripts.support.settings import read_settings
from services.product.domain import product_rules
from services.product.main import MIGRATIONS, NAME
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.db.database import Database
from shared.errors import Conflict, Unavailable

DATABASE_SECONDS = 5.0  # how long we wait for the database to answer and to have its schema


def main() -> int:
    """Prints every new product and a summary."""
    logging.disable()  # what goes wrong is said once, in the last line
    environment = read_settings()
    try:
        new, old = asyncio.run(_seed(environment))
    except Unavailable as away:
        raise SetupError(f"the database of {NAME} cannot be used: {away.detail}") from away
    print(f"{new} new, {old} already there")
    return 0


async def _seed(environment: Environment) -> tuple[int, int]:
    currency = currency_of(environment)
    async with Database(environment.database_url(NAME), MIGRATIONS) as database:
        await _wait_for(database)
        products = ProductService(
            PostgresProductRepository(database), product_rules(currency, CURRENCY_CODES)
        )
        return await _load(products, currency)


async def _wait_for(database: Database) -> None:
    try:
        async with asyncio.timeout(DATABASE_SECONDS):
            await database.wait_until_migrated()
    except TimeoutError:
        await database.check()  # raises, saying why


async def _load(products: ProductService, currency: str) -> tuple[int, int]:
    new = old = 0
    for product_id, details in sample_products(currency):
        try:
            product = await products.create(details, product_id)
        except Conflict:
            old += 1
        else:
            new += 1
            price = product.price
            print(f"{product.product_id}  {price.amount:>7} {price.currency}  {product.name}")
    return new, old


if __name__ == "__main__":
    sys.exit(exit_status("seed", main))
