"""Events to try things with."""

from datetime import UTC, datetime
from uuid import UUID

from shop.product.v1.events_pb2 import ProductArchived, ProductCreated
from shop.product.v1.product_pb2 import Product

from shared.events.bus import Message
from shared.events.envelope import encode, seal
from shared.ids import new_id

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def created(subject: str = "milk", version: int = 1) -> ProductCreated:
    """A product's first state, or a later one."""
    return ProductCreated(product=Product(product_id=subject, name=f"{subject} {version}", version=version))


def archived(subject: str = "milk", version: int = 2) -> ProductArchived:
    """A product's last state."""
    return ProductArchived(product=Product(product_id=subject, version=version, archived=True))


def message(subject: str = "milk", version: int = 1, event_id: UUID | None = None) -> Message:
    """An event as it comes."""
    envelope = seal(
        created(subject, version),
        event_id=event_id or new_id(),
        source="product",
        subject=subject,
        time=datetime.now(UTC),
        traceparent=TRACEPARENT,
    )
    return Message("product", subject, encode(envelope), "somewhere")
