"""`./scripts/seed`: loads the sample catalogue; products that are there already are left as they are."""

import argparse
import asyncio
import logging
import sys
from uuid import UUID

from scripts.support.failures import exit_status
from scripts.support.opened_database import opened_database
from scripts.support.sample_products import sample_products
from scripts.support.settings import read_settings
from services.product.domain import Product, ProductDetails, product_rules
from services.product.main import MIGRATIONS, NAME
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.config import Environment
from shared.currency import CURRENCY_CODES, currency_of
from shared.errors import Conflict


def main() -> int:
    """Prints a summary, and before it every new product if asked to."""
    parser = argparse.ArgumentParser(
        prog="scripts/seed",
        description="Loads a sample catalogue of 200 products; those that are there already are left alone.",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="list every new product")
    arguments = parser.parse_args()
    logging.disable()  # what goes wrong is said once, in the last line
    new, old = asyncio.run(_seed(read_settings(), arguments.verbose))
    print(f"products: {new} new, {old} already there")
    return 0


async def _seed(environment: Environment, verbose: bool) -> tuple[int, int]:
    """How many products are new, and how many were there."""
    currency = currency_of(environment)
    async with opened_database(environment, NAME, MIGRATIONS) as database:
        products = ProductService(
            PostgresProductRepository(database), product_rules(currency, CURRENCY_CODES)
        )
        made = [await _load(products, *sample) for sample in sample_products(currency)]
    new = [product for product in made if product is not None]
    if verbose:
        for product in new:
            print(_line(product))
    return len(new), len(made) - len(new)


async def _load(products: ProductService, product_id: UUID, details: ProductDetails) -> Product | None:
    """None when it is there already."""
    try:
        return await products.create(details, product_id)
    except Conflict:
        return None


def _line(product: Product) -> str:
    return f"{product.product_id}  {product.price.amount:>7} {product.price.currency}  {product.name}"


if __name__ == "__main__":
    sys.exit(exit_status("seed", main))
