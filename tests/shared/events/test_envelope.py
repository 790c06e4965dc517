import json
from datetime import UTC, datetime

import pytest
from shop.product.v1.events_pb2 import ProductArchived, ProductCreated

from shared.events.envelope import Envelope, Unreadable, decode, encode, seal, unseal
from shared.ids import new_id
from tests.shared.events.samples import TRACEPARENT, created

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)


def sealed() -> Envelope:
    return seal(
        created("milk", 7),
        event_id=new_id(),
        source="product",
        subject="milk",
        time=NOW,
        traceparent=TRACEPARENT,
    )


def altered(**members: object) -> bytes:
    return json.dumps(json.loads(encode(sealed())) | members).encode()


def test_an_event_is_a_cloudevent_in_structured_mode() -> None:
    event = sealed()
    assert json.loads(encode(event)) == {
        "specversion": "1.0",
        "id": str(event.id),
        "source": "/product",
        "type": "shop.product.v1.ProductCreated",
        "subject": "milk",
        "time": "2026-01-02T03:04:05.678000Z",
        "datacontenttype": "application/json",
        "dataschema": "plainstack-protos:shop.product.v1.ProductCreated",
        "partitionkey": "milk",
        "traceparent": TRACEPARENT,
        "data": {"product": {"productId": "milk", "name": "milk 7", "version": "7"}},
    }


def test_what_was_sealed_can_be_unsealed() -> None:
    event = decode(encode(sealed()))
    assert (event.subject, event.time, event.traceparent) == ("milk", NOW, TRACEPARENT)
    assert unseal(event, ProductCreated) == created("milk", 7)


def test_attributes_and_fields_of_a_later_release_are_passed_over() -> None:
    event = decode(altered(data={"product": {"productId": "milk", "colour": "white"}}, colour="white"))
    assert unseal(event, ProductCreated).product.product_id == "milk"


def test_an_event_of_another_language_may_lack_a_trace() -> None:
    document = json.loads(encode(sealed()))
    del document["traceparent"]
    assert decode(json.dumps(document).encode()).traceparent == ""


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"id": 1}',
        altered(id="no uuid"),
        altered(time="yesterday"),
        altered(time="2026-01-02T03:04:05"),  # where?
        altered(specversion="0.3"),
        altered(datacontenttype="application/xml"),
    ],
)
def test_what_is_no_event_is_unreadable(octets: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(octets)


@pytest.mark.parametrize("data", [{"product": 1}, {"product": {"version": "many"}}, [], "text", None])
def test_what_is_no_such_message_is_unreadable(data: object) -> None:
    event = decode(altered(data=data))
    with pytest.raises(Unreadable, match=r"shop\.product\.v1\.ProductCreated"):
        unseal(event, ProductArchived)
