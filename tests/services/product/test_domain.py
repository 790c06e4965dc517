import unicodedata
from collections.abc import Mapping
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.product.domain import (
    Product,
    ProductArchived,
    ProductChange,
    ProductChanged,
    ProductDetails,
    create_product,
    fields,
    name_fault,
    search_fault,
    search_key,
    searchable_text,
)
from shared.errors import Conflict, Invalid
from shared.money import MAX_AMOUNT, Money
from shared.rules import Rule, check

ID = UUID("018cc251-f400-7000-8000-000000000001")
MANY_MARKS = "\u0301\u0316" * 250_000  # composing them would take minutes
TEA = Product(ID, "Tea", "Green.", Money(9_800, "KRW"))


def test_a_new_product_is_at_version_1_and_tidied() -> None:
    decomposed = unicodedata.normalize("NFD", "  녹차 ")
    created = create_product(ID, ProductDetails(decomposed, "", Money(0, "KRW")))
    assert created.product == Product(ID, "녹차", "", Money(0, "KRW"), version=1, archived=False)


def test_a_change_raises_the_version_and_leaves_the_rest() -> None:
    event = TEA.changed(ProductChange(price=Money(1, "KRW")))
    assert event == ProductChanged(Product(ID, "Tea", "Green.", Money(1, "KRW"), version=2), former=TEA)


@pytest.mark.parametrize(
    "change",
    [ProductChange(), ProductChange(name=" Tea "), ProductChange("Tea", "Green.", Money(9_800, "KRW"))],
)
def test_changing_nothing_is_no_event(change: ProductChange) -> None:
    assert TEA.changed(change) is None


def test_archiving_raises_the_version_once() -> None:
    event = TEA.archive()
    assert event == ProductArchived(Product(ID, "Tea", "Green.", Money(9_800, "KRW"), 2, archived=True))
    assert event.product.archive() is None


def test_an_archived_product_cannot_be_changed() -> None:
    archived = TEA.archive()
    assert archived is not None
    with pytest.raises(Conflict) as refused:
        archived.product.changed(ProductChange(name="Coffee"))
    assert refused.value.code == "product-archived"


@pytest.mark.parametrize("name", ["a", "x" * 200, "  " + "x" * 200 + "  ", "녹차 🍵", "e\u0301" * 200])
def test_acceptable_names(name: str) -> None:
    assert name_fault(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "",
        "   ",
        "\n\t",
        "x" * 201,
        "a" + MANY_MARKS,
        "a\x00b",
        "a\nb",
        "a\u2028b",
        "a\x7fb",
        "\ud800",
    ],
)
def test_unacceptable_names(name: str) -> None:
    assert name_fault(name) is not None


def test_every_bad_field_is_named(rules: Mapping[str, Rule]) -> None:
    with pytest.raises(Invalid) as refused:
        check(fields(ProductDetails(" ", "\x07", Money(-1, "XBT"))), rules)
    assert [each.field for each in refused.value.fields] == [
        "name",
        "description",
        "price.amount",
        "price.currency",
    ]


def test_only_what_changes_is_checked(rules: Mapping[str, Rule]) -> None:
    check(fields(ProductChange()), rules)
    check(fields(ProductChange(description="several\nlines\tand tabs")), rules)
    with pytest.raises(Invalid):
        check(fields(ProductChange(description="x" * 4001)), rules)
    with pytest.raises(Invalid):
        check(fields(ProductChange(description="a" + MANY_MARKS)), rules)


@pytest.mark.parametrize(
    ("amount", "fault"), [(0, False), (MAX_AMOUNT, False), (-1, True), (MAX_AMOUNT + 1, True)]
)
def test_amounts(rules: Mapping[str, Rule], amount: int, *, fault: bool) -> None:
    assert (rules["price.amount"](amount) is not None) is fault


@pytest.mark.parametrize(
    ("code", "says"), [("USD", "Must be KRW"), ("krw", "ISO 4217"), ("ZZZ", "ISO 4217"), ("", "ISO 4217")]
)
def test_currencies(rules: Mapping[str, Rule], code: str, says: str) -> None:
    assert rules["price.currency"]("KRW") is None
    assert says in (rules["price.currency"](code) or "")


@pytest.mark.parametrize(
    ("text", "key"), [("STRASSE", "straße"), ("Éclair", "E\u0301CLAIR"), ("ΣΑΣ", "σας"), ("녹차", "녹차")]
)
def test_a_search_does_not_tell_cases_apart(text: str, key: str) -> None:
    assert search_key(unicodedata.normalize("NFD", text)) == search_key(key)


letters = st.text(st.characters(categories=["Lu", "Ll", "Nd"]), max_size=30)


@given(letters, st.integers(0, 10), st.integers(1, 20))
def test_every_part_of_a_text_is_found_in_it(text: str, start: int, length: int) -> None:
    composed = unicodedata.normalize("NFC", text)
    product = Product(ID, "x", composed, Money(0, "KRW"))
    part = composed[start : start + length]
    assert search_key(part) in searchable_text(product)
    assert search_key(part.swapcase()) in searchable_text(product) or part.swapcase().swapcase() != part


def test_no_search_reaches_from_the_name_into_the_description() -> None:
    assert search_key("tea\ngreen") in searchable_text(TEA)
    assert search_fault("tea\ngreen") is not None
