"""An event on the wire: the attributes of CloudEvents 1.0 around a message of the contracts (pure).

It is CloudEvents' structured mode: one JSON object, whose `data` is the protobuf message in its own JSON form
(cloudevents.io, protobuf.dev/programming-guides/json). `partitionkey` and `traceparent` are CloudEvents'
extensions for ordering and for W3C Trace Context.
"""

from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

import msgspec
from google.protobuf import json_format
from google.protobuf.message import Message as ProtobufMessage

from shared.errors import ApplicationError

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"

M = TypeVar("M", bound=ProtobufMessage)


class Unreadable(ApplicationError):
    """What came is no event of ours, or none of the kind that it says it is."""

    code = "unreadable-event"


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `source` is the service that reports it, `subject` the thing that it is about."""

    id: UUID
    source: str
    type: str  # the message's full name: shop.product.v1.ProductCreated
    subject: str
    time: Annotated[datetime, msgspec.Meta(tz=True)]
    partitionkey: str  # events with the same one stay in order
    data: msgspec.Raw
    dataschema: str
    traceparent: str = ""  # ours all have one
    datacontenttype: str = CONTENT_TYPE
    specversion: str = SPEC_VERSION


def seal(
    message: ProtobufMessage, *, event_id: UUID, source: str, subject: str, time: datetime, traceparent: str
) -> Envelope:
    """`message` as an event about `subject`, which is what keeps events in order, too."""
    name = message.DESCRIPTOR.full_name
    return Envelope(
        id=event_id,
        source=f"/{source}",
        type=name,
        subject=subject,
        time=time,
        partitionkey=subject,
        data=msgspec.Raw(json_format.MessageToJson(message, indent=None).encode()),
        dataschema=f"plainstack-protos:{name}",
        traceparent=traceparent,
    )


def encode(envelope: Envelope) -> bytes:
    """The event as it travels."""
    return msgspec.json.encode(envelope)


def decode(octets: bytes) -> Envelope:
    """The event that `octets` are; its message stays sealed. Raises Unreadable."""
    try:
        envelope = _decoder.decode(octets)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise Unreadable(f"This is no event: {broken}") from broken
    if (envelope.specversion, envelope.datacontenttype) != (SPEC_VERSION, CONTENT_TYPE):
        raise Unreadable("This is an event of another form: not CloudEvents 1.0 with JSON.")
    return envelope


def unseal(envelope: Envelope, kind: type[M]) -> M:
    """The event's message; fields that a newer release has are passed over. Raises Unreadable."""
    octets = bytes(envelope.data)
    if not octets.startswith(b"{"):  # the library would take a list or a text for an empty message
        raise Unreadable(f"This is no {envelope.type}: its data are no object.")
    try:
        return json_format.Parse(octets, kind(), ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError) as broken:
        raise Unreadable(f"This is no {envelope.type}: {broken}") from broken


_decoder = msgspec.json.Decoder(Envelope)
