import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from scripts.support.sample_products import sample_products
from services.product.domain import check, product_rules
from shared.config import CHECKOUT, Secret
from shared.currency import CURRENCY_CODES
from tests.engines import Engines


@pytest.mark.parametrize("currency", ["KRW", "USD", "JPY", "KWD"])
def test_the_sample_obeys_the_rules(currency: str) -> None:
    sample = list(sample_products(currency))
    assert len({product_id for product_id, _ in sample}) == 200
    assert len({details.name for _, details in sample}) == 200
    for product_id, details in sample:
        assert product_id.version == 7
        check(details, product_rules(currency, CURRENCY_CODES))


def test_the_sample_is_the_same_at_every_call() -> None:
    assert list(sample_products("KRW")) == list(sample_products("KRW"))


def _seed(url: Secret, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PLAINSTACK_HOME": str(home), "DATABASE_URL_PRODUCT": url.value}
    return subprocess.run(
        [CHECKOUT / "scripts" / "seed"], env=environment, capture_output=True, text=True, check=False
    )


def test_seeding_twice_is_seeding_once(engines: Engines, tmp_path: Path) -> None:
    url = engines.new_database()
    first, second = _seed(url, tmp_path), _seed(url, tmp_path)
    assert (first.returncode, first.stderr) == (0, "")
    assert first.stdout.splitlines()[-1] == "200 new, 0 already there"
    assert len(first.stdout.splitlines()) == 201
    assert second.stdout == "0 new, 200 already there\n"
    with psycopg.connect(url.value) as connection:
        assert connection.execute("SELECT count(*) FROM products").fetchone() == (200,)


def test_without_a_database_it_says_so_in_one_line(tmp_path: Path) -> None:
    failed = _seed(Secret("postgresql://product:hunter2@127.0.0.1:1/product"), tmp_path)
    assert failed.returncode == 1
    assert failed.stderr.startswith("seed: the database of product cannot be used: connection failed")
    assert failed.stderr.count("\n") == 1
    assert "hunter2" not in failed.stderr
