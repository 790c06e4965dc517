"""What is reported of each thing that can happen to a product."""

import re
from dataclasses import replace
from uuid import UUID

import pytest
from google.protobuf.message import Message
from shop.common.v1.money_pb2 import Money as MoneyMessage
from shop.product.v1 import events_pb2 as messages
from shop.product.v1.product_pb2 import Product as ProductMessage

from services.product.domain import (
    Product,
    ProductArchived,
    ProductChange,
    ProductCreated,
    ProductEvent,
)
from services.product.events import product_message, reports
from shared.config import CHECKOUT
from shared.events.envelope import decode, encode, unseal
from shared.money import Money

ID = UUID("018cc251-f400-7000-8000-000000000001")
TEA = Product(ID, "Tea", "Green.", Money(9_800, "KRW"), version=4)
NAME, DESCRIPTION, PRICE = (
    messages.ProductNameChanged,
    messages.ProductDescriptionChanged,
    messages.ProductPriceChanged,
)


def reported(event: ProductEvent | None) -> list[Message]:
    assert event is not None
    made = reports(event)
    assert {each.subject for each in made} == {str(ID)}
    return [each.message for each in made]


def test_a_product_says_all_that_it_is() -> None:
    assert product_message(replace(TEA, archived=True)) == ProductMessage(
        product_id=str(ID),
        name="Tea",
        description="Green.",
        price=MoneyMessage(amount=9_800, currency="KRW"),
        version=4,
        archived=True,
    )


def test_what_comes_and_what_goes_is_one_report() -> None:
    assert reported(ProductCreated(TEA)) == [messages.ProductCreated(product=product_message(TEA))]
    archived = TEA.archive()
    assert isinstance(archived, ProductArchived)
    product = product_message(archived.product)
    assert product.archived
    assert reported(archived) == [messages.ProductArchived(product=product)]


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (ProductChange(name="Coffee"), [NAME]),
        (ProductChange(description=""), [DESCRIPTION]),
        (ProductChange(price=Money(0, "KRW")), [PRICE]),
        (ProductChange(price=Money(9_800, "USD")), [PRICE]),
        (ProductChange(name="Coffee", description="Green."), [NAME]),
        (ProductChange(name="Coffee", price=Money(1, "KRW")), [NAME, PRICE]),
        (ProductChange("Coffee", "Dark.", Money(1, "KRW")), [NAME, DESCRIPTION, PRICE]),
    ],
)
def test_a_change_is_reported_for_each_thing_that_is_different(
    change: ProductChange, kinds: list[type[Message]]
) -> None:
    assert [type(each) for each in reported(TEA.changed(change))] == kinds


def test_each_report_has_the_whole_product_and_what_was_before() -> None:
    event = TEA.changed(ProductChange("Coffee", "Dark.", Money(1, "KRW")))
    now = product_message(Product(ID, "Coffee", "Dark.", Money(1, "KRW"), version=5))
    assert reported(event) == [
        NAME(product=now, former_name="Tea"),
        DESCRIPTION(product=now, former_description="Green."),
        PRICE(product=now, former_price=MoneyMessage(amount=9_800, currency="KRW")),
    ]


def test_the_contracts_readme_shows_an_event_as_it_travels() -> None:
    example = re.search(r"```json\n(.*?)```", (CHECKOUT / "protos" / "README.md").read_text(), re.DOTALL)
    assert example is not None
    envelope = decode(example[1].encode())
    renamed = unseal(envelope, NAME)
    assert (envelope.type, envelope.source) == (NAME.DESCRIPTOR.full_name, "/product")
    assert envelope.subject == envelope.partitionkey == renamed.product.product_id
    assert (renamed.product.name, renamed.former_name, renamed.product.version) == ("Green tea", "Tea", 2)
    assert re.findall(r'"(\w+)":', encode(envelope).decode()) == re.findall(r'"(\w+)":', example[1])
