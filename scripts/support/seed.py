"""`./scripts/seed`: a sample catalogue, and stock of all of it; what is there already is left as it is."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from scripts.support.failures import exit_status
from scripts.support.opened_database import opened_database
from scripts.support.sample_products import sample_products
from scripts.support.settings import read_settings
from services.inventory import main as inventory
from services.inventory.domain.stock import Stock
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import InventoryService
from services.product import main as product
from services.product.domain import Product, ProductDetails, product_rules
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.errors import Conflict
from shared.events.outbox import Outbox

PIECES = 100
SEEDER = UUID(int=0)  # who has put them there, say the inventory's books


def main() -> int:
    """Prints a summary, and before it every new product if asked to."""
    parser = argparse.ArgumentParser(
        prog="scripts/seed",
        description="Loads a sample catalogue of 200 products, and stock of each; what is there already is "
        "left alone.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="list every new product")
    arguments = parser.parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    environment = read_settings()
    _tell("products", asyncio.run(_seed_products(environment, arguments.verbose)))
    _tell("stock", asyncio.run(_seed_stock(environment)))
    return 0


def _tell(things: str, is_new: Sequence[bool]) -> None:
    print(f"{things}: {sum(is_new)} new, {len(is_new) - sum(is_new)} already there")


async def _seed_products(environment: Environment, verbose: bool) -> list[bool]:
    """Whether each of them is new."""
    currency = currency_of(environment)
    async with opened_database(environment, product.NAME, product.MIGRATIONS) as database:
        products = ProductService(
            PostgresProductRepository(database, Outbox(database, product.NAME)),
            product_rules(currency, CURRENCY_CODES),
        )
        made = [await _load(products, *sample) for sample in sample_products(currency)]
    if verbose:
        for line in (_line(each) for each in made if each is not None):
            print(line)
    return [each is not None for each in made]


async def _seed_stock(environment: Environment) -> list[bool]:
    """Whether nobody had counted each product before."""
    product_ids = [product_id for product_id, _ in sample_products(currency_of(environment))]
    async with opened_database(environment, inventory.NAME, inventory.MIGRATIONS) as database:
        outbox = Outbox(database, inventory.NAME)
        stock = InventoryService(PostgresInventoryRepository(database, outbox), timedelta(0))
        known = {each.product_id for each in await stock.get_all(product_ids) if not _is_only_opened(each)}
        for product_id in set(product_ids) - known:
            await stock.count(product_id, PIECES, SEEDER)
    return [product_id not in known for product_id in product_ids]


async def _load(products: ProductService, product_id: UUID, details: ProductDetails) -> Product | None:
    """None when it is there already."""
    try:
        return await products.create(details, product_id)
    except Conflict:
        return None


def _is_only_opened(stock: Stock) -> bool:
    """A running inventory has heard of the product already, maybe from us a moment ago."""
    return (stock.on_hand, stock.version) == (0, 1)


def _line(made: Product) -> str:
    return f"{made.product_id}  {made.price.amount:>7} {made.price.currency}  {made.name}"


if __name__ == "__main__":
    sys.exit(exit_status("seed", main))
