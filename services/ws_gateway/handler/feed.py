"""Events from the bus, to those whom they concern. Every gateway hears every event.

What is nobody's concern here is passed over before it is read: its key says which room it is about.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import Message as ProtobufMessage
from shop.chat.v1.events_pb2 import MemberRemoved, MessageDeleted, MessagePosted
from shop.order.v1.events_pb2 import OrderCancelled, OrderConfirmed, OrderPlaced
from shop.order.v1.order_pb2 import Order, OrderStatus

from services.ws_gateway import frames
from services.ws_gateway.clients import read_message
from services.ws_gateway.domain.rooms import Deleted, Posted
from services.ws_gateway.service.rooms import Rooms
from shared.duties import failure_of
from shared.events.bus import Bus, Heard, Message
from shared.events.envelope import Envelope, Unreadable, decode, unseal
from shared.observability.trouble import Trouble
from shared.websocket.encoding import Encoded

CHAT, ORDER = "chat", "order"
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.1, 2.0  # until the bus is asked again, doubling

_STATUSES = {number: name.removeprefix("ORDER_STATUS_") for name, number in OrderStatus.items() if number}

SendToUser = Callable[[str, Encoded], None]
M = TypeVar("M", bound=ProtobufMessage)

_log = logging.getLogger(__name__)


class Feed:
    """What comes over `bus`, for `rooms` and, by `send_to_user`, for a user's own sockets."""

    def __init__(self, bus: Bus, rooms: Rooms, send_to_user: SendToUser) -> None:
        self._bus = bus
        self._rooms = rooms
        self._send_to_user = send_to_user
        self._heard: Heard = {}
        self._pause = FIRST_RETRY_SECONDS
        self._trouble = Trouble(_log, "events do not come", "events come again")
        self._chat_kinds = {
            MessagePosted.DESCRIPTOR.full_name: self._message_posted,
            MessageDeleted.DESCRIPTOR.full_name: self._message_deleted,
            MemberRemoved.DESCRIPTOR.full_name: self._member_removed,
        }
        self._order_kinds = {
            kind.DESCRIPTOR.full_name: kind for kind in (OrderPlaced, OrderConfirmed, OrderCancelled)
        }

    async def run(self) -> None:
        """Until cancelled, whatever becomes of the bus meanwhile."""
        while True:
            reason = await failure_of(self._listen)
            self._trouble.is_now(reason)
            await asyncio.sleep(self._pause)
            self._pause = min(2 * self._pause, LAST_RETRY_SECONDS)

    async def _listen(self) -> None:
        await self._bus.broadcast([CHAT, ORDER], self.handle, self._resumed, self._heard)

    async def _resumed(self) -> None:
        """What is missing will come, as far as the bus still has it; of the rest chat knows the messages."""
        self._pause = FIRST_RETRY_SECONDS
        self._trouble.is_over()
        self._rooms.missed_something()

    async def handle(self, message: Message) -> None:
        """One event. What cannot be read is nothing that we could tell anybody."""
        try:
            if message.topic == ORDER:
                self._order_changed(decode(message.value))
            elif message.key in self._rooms:
                self._room_changed(decode(message.value))
        except Unreadable as unreadable:
            _log.warning("event passed over", extra={"reason": unreadable.detail, "place": message.place})
        except Exception:  # a bug of ours; the event would come again and again
            _log.exception("event failed", extra={"place": message.place})
            self._rooms.missed_something()
        await asyncio.sleep(0)  # whatever else there is to do has its turn between two events

    def _room_changed(self, event: Envelope) -> None:
        change = self._chat_kinds.get(event.type)
        if change is not None:
            change(event)

    def _message_posted(self, event: Envelope) -> None:
        message = read_message(unseal(event, MessagePosted).message)
        self._rooms.happened(message.room_id, Posted(message.seq, frames.message(message)))

    def _message_deleted(self, event: Envelope) -> None:
        message = unseal(event, MessageDeleted).message
        frame = frames.deleted(message.room_id, message.seq)
        self._rooms.happened(message.room_id, Deleted(message.seq, frame))

    def _member_removed(self, event: Envelope) -> None:
        removal = unseal(event, MemberRemoved)
        self._rooms.member_removed(removal.room_id, removal.user_id)

    def _order_changed(self, event: Envelope) -> None:
        kind = self._order_kinds.get(event.type)
        if kind is not None:
            order: Order = unseal(event, kind).order  # type: ignore[attr-defined]
            if status := _STATUSES.get(order.status):  # a later release may know of more
                self._send_to_user(order.user_id, frames.order(order.order_id, status, order.reason))
