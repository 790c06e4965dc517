import asyncio
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from scripts.support.sample_products import sample_products
from services.inventory import main as inventory
from services.inventory.repository import PostgresInventoryRepository
from services.inventory.service import StockOpening
from services.product.domain import fields, product_rules
from shared.config import CHECKOUT, Secret
from shared.currency import CURRENCY_CODES
from shared.events.outbox import Outbox
from shared.rules import check
from tests.engines import Engines
from tests.scripts.forked import import_before, run_module
from tests.services.databases import opened

NOWHERE = Secret("postgresql://product:hunter2@127.0.0.1:1/product")

import_before(["services.product.main", "services.inventory.main"])


@pytest.mark.parametrize("currency", ["KRW", "USD", "JPY", "KWD"])
def test_the_sample_obeys_the_rules(currency: str) -> None:
    sample = list(sample_products(currency))
    assert len({product_id for product_id, _ in sample}) == 200
    assert len({details.name for _, details in sample}) == 200
    for product_id, details in sample:
        assert product_id.version == 7
        check(fields(details), product_rules(currency, CURRENCY_CODES))


def test_the_sample_is_the_same_at_every_call() -> None:
    assert list(sample_products("KRW")) == list(sample_products("KRW"))


def _seed(products: Secret, stock: Secret, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    urls = {"DATABASE_URL_PRODUCT": products.value, "DATABASE_URL_INVENTORY": stock.value}
    return run_module("scripts.support.seed", arguments, {**os.environ, "PLAINSTACK_HOME": str(home), **urls})


def test_seeding_twice_is_seeding_once(engines: Engines, tmp_path: Path) -> None:
    products, stock = engines.new_database(), engines.new_database()
    first, second = (_seed(products, stock, tmp_path, "--verbose") for _ in range(2))
    assert (first.returncode, first.stderr) == (0, "")
    *listed, told, told_of_stock = first.stdout.splitlines()
    assert len(listed) == 200
    assert "Jeju green tea, 50 g" in listed[0]
    assert told == "products: 200 new, 0 already there"
    assert told_of_stock == "stock: 200 new, 0 already there"
    assert second.stdout == "products: 0 new, 200 already there\nstock: 0 new, 200 already there\n"
    with psycopg.connect(products.value) as connection:
        assert connection.execute("SELECT count(*) FROM products").fetchone() == (200,)
    with psycopg.connect(stock.value) as connection:
        assert connection.execute("SELECT DISTINCT on_hand, reserved FROM stock").fetchall() == [(100, 0)]


def test_products_that_the_inventory_has_heard_of_get_their_stock(engines: Engines, tmp_path: Path) -> None:
    stock = engines.new_database()
    product_ids = [product_id for product_id, _ in sample_products("KRW")]
    asyncio.run(_open(stock, product_ids[:2]))
    done = _seed(engines.new_database(), stock, tmp_path)
    assert done.stdout == "products: 200 new, 0 already there\nstock: 200 new, 0 already there\n"


async def _open(url: Secret, product_ids: Sequence[UUID]) -> None:
    async with opened(url, inventory.MIGRATIONS) as database:
        outbox = Outbox(database, inventory.NAME)
        opening = StockOpening(PostgresInventoryRepository(database, outbox))
        for product_id in product_ids:
            await opening.open(product_id)


def test_asking_for_help_seeds_nothing() -> None:
    done = subprocess.run(
        ["scripts/seed", "--help"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: scripts/seed")


def test_without_a_database_it_says_so_in_one_line(tmp_path: Path) -> None:
    failed = _seed(NOWHERE, NOWHERE, tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("seed: the database of product cannot be used: connection failed")
    assert failed.stderr.count("\n") == 1
    assert "hunter2" not in failed.stderr
