"""What the catalogue reports to other services: domain events → messages of the contracts."""

from collections.abc import Iterator

from google.protobuf.message import Message
from shop.product.v1 import events_pb2 as messages
from shop.product.v1.product_pb2 import Product as ProductMessage

from services.product.domain import Product, ProductArchived, ProductChanged, ProductCreated, ProductEvent
from shared.events.outbox import Report
from shared.rpc.values import money_message


def reports(event: ProductEvent) -> list[Report]:
    """One for each thing that is otherwise than before, all of the product's one new version."""
    subject = str(event.product.product_id)
    return [Report(subject, message) for message in _messages(event)]


def product_message(product: Product) -> ProductMessage:
    """A product as other services see it."""
    return ProductMessage(
        product_id=str(product.product_id),
        name=product.name,
        description=product.description,
        price=money_message(product.price),
        version=product.version,
        archived=product.archived,
    )


def _messages(event: ProductEvent) -> Iterator[Message]:
    match event:
        case ProductCreated(product):
            yield messages.ProductCreated(product=product_message(product))
        case ProductChanged(product, former):
            yield from _differences(product, former)
        case ProductArchived(product):
            yield messages.ProductArchived(product=product_message(product))


def _differences(product: Product, former: Product) -> Iterator[Message]:
    now = product_message(product)
    if product.name != former.name:
        yield messages.ProductNameChanged(product=now, former_name=former.name)
    if product.description != former.description:
        yield messages.ProductDescriptionChanged(product=now, former_description=former.description)
    if product.price != former.price:
        yield messages.ProductPriceChanged(product=now, former_price=money_message(former.price))
