"""One suite for the use cases over both repositories: what the fake promises, PostgreSQL keeps."""

import asyncio
from uuid import UUID, uuid4

import pytest

from services.product.domain import (
    Product,
    ProductArchived,
    ProductChange,
    ProductChanged,
    ProductCreated,
    ProductDetails,
    ProductRepository,
)
from services.product.service import ProductService
from shared.errors import Conflict, Invalid, NotFound, PreconditionFailed
from shared.money import MAX_AMOUNT, Money
from shared.paging import Page
from tests.services.product.memory_repository import MemoryProductRepository


def details(name: str = "Tea", description: str = "", amount: int = 100) -> ProductDetails:
    return ProductDetails(name, description, Money(amount, "KRW"))


async def _names(products: ProductService, search: str = "") -> list[str]:
    return [each.name for each in (await products.browse(search, limit=100)).items]


async def test_what_is_created_is_found_again(products: ProductService) -> None:
    created = await products.create(details("  Tea 🍵 ", "Two\nlines, 100 %_\\", MAX_AMOUNT))
    assert created == Product(
        created.product_id, "Tea 🍵", "Two\nlines, 100 %_\\", Money(MAX_AMOUNT, "KRW"), version=1
    )
    assert await products.get(created.product_id) == created


async def test_a_taken_identifier_is_a_conflict(products: ProductService) -> None:
    created = await products.create(details())
    with pytest.raises(Conflict):
        await products.create(details("Other"), created.product_id)
    assert await products.get(created.product_id) == created


async def test_unknown_products_are_not_found(products: ProductService) -> None:
    with pytest.raises(NotFound):
        await products.get(uuid4())
    with pytest.raises(NotFound):
        await products.change(uuid4(), ProductChange(name="x"))
    with pytest.raises(NotFound):
        await products.archive(uuid4())


async def test_bad_details_are_refused_whoever_calls(products: ProductService) -> None:
    with pytest.raises(Invalid):
        await products.create(details(name=""))
    created = await products.create(details())
    with pytest.raises(Invalid):
        await products.change(created.product_id, ProductChange(price=Money(1, "USD")))


async def test_a_change_is_kept_and_counted(products: ProductService) -> None:
    created = await products.create(details())
    changed = await products.change(created.product_id, ProductChange("Coffee", "Dark.", Money(5, "KRW")))
    assert changed == Product(created.product_id, "Coffee", "Dark.", Money(5, "KRW"), version=2)
    assert await products.get(created.product_id) == changed
    assert await _names(products, "coffee dark") == []
    assert await _names(products, "dark") == ["Coffee"]
    assert await _names(products, "tea") == []


async def test_changing_nothing_keeps_the_version(products: ProductService) -> None:
    created = await products.create(details())
    assert await products.change(created.product_id, ProductChange(name="Tea")) == created
    assert (await products.get(created.product_id)).version == 1


async def test_an_unexpected_version_stops_a_change(products: ProductService) -> None:
    created = await products.create(details())
    await products.change(created.product_id, ProductChange(name="Coffee"), lambda version: version == 1)
    with pytest.raises(PreconditionFailed):
        await products.change(created.product_id, ProductChange(name="Milk"), lambda version: version == 1)
    with pytest.raises(PreconditionFailed):
        await products.archive(created.product_id, lambda version: version == 1)
    assert await _names(products) == ["Coffee"]


async def test_archived_products_are_readable_but_not_on_offer(products: ProductService) -> None:
    created = await products.create(details())
    await products.archive(created.product_id, lambda version: version == 1)
    await products.archive(created.product_id, lambda version: version == 1)  # asked again
    archived = await products.get(created.product_id)
    assert archived.archived
    assert archived.version == 2
    assert await _names(products) == []
    assert await _names(products, "tea") == []
    with pytest.raises(Conflict):
        await products.change(created.product_id, ProductChange(name="Milk"))


async def test_pages_follow_each_other_newest_first(products: ProductService) -> None:
    for number in range(7):
        await products.create(details(f"Tea {number}"), UUID(int=number + 1))
    first = await products.browse(limit=3)
    assert [each.name for each in first.items] == ["Tea 6", "Tea 5", "Tea 4"]
    await products.create(details("Newer"), UUID(int=100))  # does not move what follows
    second = await products.browse(after=first.next, limit=3)
    assert [each.name for each in second.items] == ["Tea 3", "Tea 2", "Tea 1"]
    last = await products.browse(after=second.next, limit=3)
    assert [each.name for each in last.items] == ["Tea 0"]
    assert last.next is None


async def test_a_full_last_page_has_no_next(products: ProductService) -> None:
    for _ in range(2):
        await products.create(details())
    assert (await products.browse(limit=2)).next is None


async def test_whoever_goes_through_all_sees_archived_ones_and_those_made_meanwhile(
    products: ProductService,
) -> None:
    for number in (30, 10, 20, 40):
        await products.create(details(), UUID(int=number))
    await products.archive(UUID(int=20))
    first = await products.go_through(limit=2)
    assert [(each.product_id.int, each.archived) for each in first.items] == [(10, False), (20, True)]
    await products.create(details(), UUID(int=50))
    await products.create(details(), UUID(int=5))  # by a clock that is slow; it moves nothing
    second = await products.go_through(first.next, 2)
    assert [each.product_id.int for each in second.items] == [30, 40]
    last = await products.go_through(second.next, 2)
    assert [each.product_id.int for each in last.items] == [50]
    assert last.next is None


async def test_going_through_nothing_ends_at_once(products: ProductService) -> None:
    assert await products.go_through() == Page([], None)


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("", ["Éclair", "100% wool_blanket", "Green tea"]),
        ("   ", ["Éclair", "100% wool_blanket", "Green tea"]),
        ("GREEN TEA", ["Green tea"]),
        (" een t ", ["Green tea"]),
        ("e", ["100% wool_blanket", "Green tea"]),
        ("éCLAIR", ["Éclair"]),
        ("E\u0301clair", ["Éclair"]),
        ("잎", ["Green tea"]),
        ("차 잎", ["Green tea"]),
        ("%", ["100% wool_blanket"]),
        ("_", ["100% wool_blanket"]),
        ("0% w", ["100% wool_blanket"]),
        ("l_b", ["100% wool_blanket"]),
        ("\\", ["Éclair"]),
        ("\\x", ["Éclair"]),
        ("gr%n", []),
        ("gr__n", []),
        ("tea차", []),
        ("eaea", []),
        ("'; DROP TABLE products; --", []),
    ],
)
async def test_search(products: ProductService, search: str, found: list[str]) -> None:
    await products.create(details("Green tea", "녹차 잎"), UUID(int=1))
    await products.create(details("100% wool_blanket", "soft"), UUID(int=2))
    await products.create(details("Éclair", "with a back\\xlash"), UUID(int=3))
    assert await _names(products, search) == found


async def test_a_search_has_pages_too(products: ProductService) -> None:
    for number in range(5):
        await products.create(details("Tea" if number % 2 else "Milk"), UUID(int=number + 1))
    first = await products.browse("milk", limit=2)
    assert [each.product_id.int for each in first.items] == [5, 3]
    last = await products.browse("milk", first.next, 2)
    assert [each.product_id.int for each in last.items] == [1]


@pytest.mark.races
async def test_of_many_that_expect_one_version_only_one_succeeds(products: ProductService) -> None:
    created = await products.create(details())

    async def rename(number: int) -> bool:
        try:
            change = ProductChange(name=f"Name {number}")
            await products.change(created.product_id, change, lambda version: version == 1)
        except PreconditionFailed:
            return False
        return True

    outcomes = await asyncio.gather(*(rename(number) for number in range(8)))
    assert sum(outcomes) == 1
    assert (await products.get(created.product_id)).name == f"Name {outcomes.index(True)}"


@pytest.mark.races
async def test_changes_of_different_fields_do_not_lose_each_other(products: ProductService) -> None:
    created = await products.create(details())
    await asyncio.gather(
        products.change(created.product_id, ProductChange(name="Coffee")),
        products.change(created.product_id, ProductChange(description="Dark.")),
        products.change(created.product_id, ProductChange(price=Money(5, "KRW"))),
    )
    expected = Product(created.product_id, "Coffee", "Dark.", Money(5, "KRW"), version=4)
    assert await products.get(created.product_id) == expected


async def test_a_unit_of_work_is_all_or_nothing(
    products: ProductService, repository: ProductRepository
) -> None:
    created = await products.create(details())

    async def archive_and_fail() -> None:
        async with repository.unit_of_work():
            product = await repository.hold(created.product_id)
            assert product is not None
            archived = product.archive()
            assert archived is not None
            await repository.record(archived)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await archive_and_fail()
    assert await products.get(created.product_id) == created


async def test_each_write_records_what_has_happened(
    memory: MemoryProductRepository, rules: dict[str, object]
) -> None:
    products = ProductService(memory, rules)  # type: ignore[arg-type]
    created = await products.create(details())
    changed = await products.change(created.product_id, ProductChange(name="Coffee"))
    await products.change(created.product_id, ProductChange(name="Coffee"))
    await products.archive(created.product_id)
    await products.archive(created.product_id)
    archived = await products.get(created.product_id)
    assert memory.events == [
        ProductCreated(created),
        ProductChanged(changed, former=created),
        ProductArchived(archived),
    ]
