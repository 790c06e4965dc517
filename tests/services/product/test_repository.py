"""State and reports in PostgreSQL: both or neither, and in the same order."""

import asyncio
from collections.abc import Mapping
from uuid import UUID

import psycopg
import pytest
from shop.product.v1.events_pb2 import ProductCreated, ProductNameChanged, ProductPriceChanged

from services.product.domain import ProductArchived, ProductChange, ProductDetails, create_product
from services.product.repository import PostgresProductRepository
from services.product.service import ProductService
from shared.db.database import Database
from shared.db.statements import every
from shared.errors import Conflict
from shared.events.envelope import Envelope, decode, unseal
from shared.money import Money
from shared.rules import Rule
from tests.services.databases import refusing_rows

CREATED = create_product(UUID(int=1), ProductDetails("Tea", "Green.", Money(9_800, "KRW")))
TEA = CREATED.product
RENAMES = 50


async def in_the_outbox(database: Database) -> list[Envelope]:
    """By position."""
    rows = await every(database, "SELECT key, type, value FROM outbox ORDER BY position")
    envelopes = [decode(value) for *_, value in rows]
    assert [(each.partitionkey, each.type) for each in envelopes] == [(key, kind) for key, kind, _ in rows]
    return envelopes


async def test_what_is_recorded_is_reported(database: Database, postgres: PostgresProductRepository) -> None:
    await postgres.record(CREATED)
    changed = TEA.changed(ProductChange(name="Coffee", price=Money(1, "KRW")))
    assert changed is not None
    await postgres.record(changed)
    first, second, third = await in_the_outbox(database)
    assert {each.source for each in (first, second, third)} == {"/product"}
    assert {each.subject for each in (first, second, third)} == {str(TEA.product_id)}
    assert unseal(first, ProductCreated).product.version == 1
    assert unseal(second, ProductNameChanged).product.name == "Coffee"
    assert unseal(third, ProductPriceChanged).product == unseal(second, ProductNameChanged).product


async def test_what_cannot_be_reported_is_not_recorded(
    database: Database, postgres: PostgresProductRepository
) -> None:
    async with refusing_rows(database, "outbox"):
        with pytest.raises(psycopg.errors.CheckViolation):
            await postgres.record(CREATED)
    assert await postgres.get(TEA.product_id) is None


async def test_what_cannot_be_recorded_is_not_reported(
    database: Database, postgres: PostgresProductRepository
) -> None:
    await postgres.record(CREATED)
    with pytest.raises(Conflict):
        await postgres.record(CREATED)
    assert len(await in_the_outbox(database)) == 1


async def test_a_unit_of_work_that_fails_leaves_neither(
    database: Database, postgres: PostgresProductRepository
) -> None:
    await postgres.record(CREATED)

    async def archive_and_fail() -> None:
        async with postgres.unit_of_work():
            archived = TEA.archive()
            assert isinstance(archived, ProductArchived)
            await postgres.record(archived)
            assert len(await in_the_outbox(database)) == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await archive_and_fail()
    assert await postgres.get(TEA.product_id) == TEA
    assert len(await in_the_outbox(database)) == 1


@pytest.mark.races
async def test_reports_of_one_product_are_in_the_order_of_its_versions(
    database: Database, postgres: PostgresProductRepository, rules: Mapping[str, Rule]
) -> None:
    products = ProductService(postgres, rules)
    await postgres.record(CREATED)
    renames = (ProductChange(name=f"Name {number}") for number in range(RENAMES))
    await asyncio.gather(*(products.change(TEA.product_id, rename) for rename in renames))
    created, *renamed = await in_the_outbox(database)
    assert created.type == ProductCreated.DESCRIPTOR.full_name
    reports = [unseal(each, ProductNameChanged) for each in renamed]
    assert [each.product.version for each in reports] == list(range(2, RENAMES + 2))
    assert [each.former_name for each in reports] == ["Tea", *(each.product.name for each in reports[:-1])]
