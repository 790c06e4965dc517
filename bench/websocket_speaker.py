"""Somebody who talks in a room at a steady rate.

Messages are put on the bus as the chat service's events, without having been committed: chat and its database
are not what is measured. Each says when it was sent, which is what websocket_receiver.py looks for.
"""

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from shop.chat.v1.chat_pb2 import Message as ChatMessage
from shop.chat.v1.events_pb2 import MessagePosted

from shared.config import Environment
from shared.events.bus import Message
from shared.events.envelope import encode, seal
from shared.events.transports import open_bus
from shared.ids import new_id
from shared.rpc.values import timestamp

TOPIC = "chat"
TEXT_BYTES = 100
WORDS = "which is what people say to each other in a room, more or less, when it is a working day"


@dataclass(frozen=True, slots=True)
class Spoken:
    """So many messages, the first of them at `began` (monotonic seconds), meant to take so many seconds."""

    messages: int
    began: float
    seconds: float


class Speaker:
    """In the room `room_id`, over the bus that EVENTS_URL names in `environment`."""

    def __init__(self, environment: Environment, room_id: str) -> None:
        self._environment = environment
        self._room_id = room_id
        self._seq = 0

    def speak(self, rate: float, seconds: float) -> Spoken:
        """So many messages a second, as well as one process can."""
        return asyncio.run(self._speak(rate, max(1, round(rate * seconds))))

    async def _speak(self, rate: float, count: int) -> Spoken:
        async with open_bus(self._environment) as bus, bus.publisher([TOPIC]) as publisher:
            began = time.monotonic()
            for number in range(count):
                await asyncio.sleep(began + number / rate - time.monotonic())
                await publisher.send([self._message()])
        return Spoken(count, began, count / rate)

    def _message(self) -> Message:
        self._seq += 1
        now = datetime.now(UTC)
        said = ChatMessage(
            room_id=self._room_id,
            seq=self._seq,
            user_id=str(new_id()),
            display_name="Somebody",
            text=f"sent {time.monotonic():.6f} {WORDS}"[:TEXT_BYTES],
            at=timestamp(now),
        )
        event = MessagePosted(message=said)
        envelope = seal(
            event, event_id=new_id(), source=TOPIC, subject=self._room_id, time=now, traceparent=""
        )
        return Message(TOPIC, self._room_id, encode(envelope))
