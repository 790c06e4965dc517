"""From the bus to a service's handlers: each event takes effect once, and none stops those behind it.

- An event's effect and its row in the inbox are one transaction.
- While something is away (Unavailable) the event waits, for ever, and so does everything behind it.
- What else goes wrong is the event's fault, or a bug: after five attempts it is parked as a dead letter, with
  the error, and the next one has its turn. Events carry whole states with versions, so none needs the one
  before it.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from google.protobuf.message import Message as ProtobufMessage

from shared import context
from shared.db.database import Database
from shared.duties import Duty, failure_of
from shared.errors import ApplicationError, DeadlineExceeded, Unavailable, in_words
from shared.events.bus import Bus, Message
from shared.events.dead_letters import DeadLetters
from shared.events.envelope import Envelope, Unreadable, decode, unseal
from shared.events.inbox import Inbox
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.observability.trouble import IntermittentTrouble, Trouble

PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds between the five attempts at an event
FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS = 0.1, 5.0  # while something is away, doubling
RETRY_SECONDS = 0.25
LAG_SECONDS = 5.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a consumer wants of a topic: which kinds of message, and what each does.

    A handler is told the message and raises Unavailable, or any other error for one that it cannot take in.
    """

    topic: str
    handlers: Mapping[type[ProtobufMessage], Callable[[Any], Awaitable[object]]]


class Outcome(StrEnum):
    """What became of an event that came."""

    APPLIED = "applied"
    ALREADY = "already"  # it had come before
    IGNORED = "ignored"  # nobody here wants to know
    PARKED = "parked"


class Consumer:
    """One service's part in the bus; `name` is its group, and the consumer in its inbox."""

    def __init__(
        self,
        database: Database,
        name: str,
        subscriptions: Sequence[Subscription],
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self.name = name
        self.topics = [each.topic for each in subscriptions]
        self.dead_letters = DeadLetters(database, name)
        self._database = database
        self._inbox = Inbox(database, name)
        self._handlers = {
            (each.topic, kind.DESCRIPTOR.full_name): (kind, handler)
            for each in subscriptions
            for kind, handler in each.handlers.items()
        }
        self._pauses = pauses
        self._trouble = Trouble(_log, "events do not come", "events come again")
        self._waiting = IntermittentTrouble(_log, "events wait", "events are taken in again")

    async def run(self, bus: Bus) -> None:
        """Take in what comes until cancelled, whatever is away meanwhile."""
        for metric in (metrics.EVENTS_HANDLED, metrics.EVENT_DELAY, metrics.EVENTS_TRIED_AGAIN):
            metrics.expose(metric)
        await self._database.wait_until_migrated()
        while True:
            failure = await failure_of(lambda: bus.consume(self.name, self.topics, self.handle))
            self._trouble.is_now(failure)
            await asyncio.sleep(RETRY_SECONDS)

    def upkeep(self, bus: Bus) -> list[Duty]:
        """Forget what came long ago; know what waits, here and on the bus."""
        metrics.expose(metrics.CONSUMER_LAG)

        async def measure() -> None:
            for topic, count in (await bus.lag(self.name, self.topics)).items():
                metrics.CONSUMER_LAG.labels(self.name, topic).set(count)

        return [self._inbox.upkeep(), self.dead_letters.upkeep(), Duty("consumer lag", measure, LAG_SECONDS)]

    async def handle(self, message: Message) -> None:
        """Return when the event has had its effect, had had it already, or is parked; not before."""
        self._trouble.is_over()
        outcome = await self._settle(message)
        metrics.EVENTS_HANDLED.labels(self.name, message.topic, outcome.value).inc()

    async def take(self, message: Message) -> Outcome:
        """One attempt. Raises Unreadable and whatever the handler raises; nothing has happened then.

        Inside a transaction that is open already, it is part of that.
        """
        envelope = decode(message.value)
        kind, handler = self._handlers.get((message.topic, envelope.type), (None, None))
        if kind is None or handler is None:
            return Outcome.IGNORED
        with _as_part_of(envelope):
            contents, started = unseal(envelope, kind), time.monotonic()
            async with self._database.transaction():
                if not await self._inbox.is_new(envelope.id):
                    return Outcome.ALREADY
                await handler(contents)
            self._tell(envelope, message, time.monotonic() - started)
        return Outcome.APPLIED

    async def _settle(self, message: Message) -> Outcome:
        attempt, wait = 1, FIRST_WAIT_SECONDS
        while True:
            try:
                outcome = await self._attempt(message, attempt)
            except (Unavailable, DeadlineExceeded) as away:
                self._waiting.failed(away.detail)
                metrics.EVENTS_TRIED_AGAIN.labels(self.name, "unavailable").inc()
                await asyncio.sleep(wait)
                wait = min(2 * wait, LAST_WAIT_SECONDS)
                continue
            self._waiting.worked()
            if outcome is not None:
                return outcome
            metrics.EVENTS_TRIED_AGAIN.labels(self.name, "failure").inc()
            await asyncio.sleep(self._pauses[attempt - 1])
            attempt += 1

    async def _attempt(self, message: Message, attempt: int) -> Outcome | None:
        """None when the event is to be tried again after a pause. Raises Unavailable."""
        try:
            return await self.take(message)
        except (Unavailable, DeadlineExceeded):
            raise
        except Exception as failure:
            letter_id = _letter_id(message)
            if attempt == 1 and await self.dead_letters.has(letter_id):
                return Outcome.PARKED  # and delivered again
            if attempt <= len(self._pauses):
                return None
            await self.dead_letters.park(letter_id, message, _reason(failure), attempt)
            _log.exception("event parked", extra={"event": str(letter_id), "place": message.place})
            return Outcome.PARKED

    def _tell(self, envelope: Envelope, message: Message, seconds: float) -> None:
        delay = (datetime.now(UTC) - envelope.time).total_seconds()
        metrics.EVENT_DELAY.labels(self.name).observe(delay)
        details = {"type": envelope.type, "subject": envelope.subject, "place": message.place}
        times = {"milliseconds": round(seconds * 1000, 1), "delay_milliseconds": round(delay * 1000, 1)}
        _log.info("event applied", extra={**details, **times})


@contextmanager
def _as_part_of(envelope: Envelope) -> Iterator[None]:
    """What happens in the block belongs to the event's trace; its identifier stands for a request's."""
    trace = context.trace.set(begin_span(envelope.traceparent))
    request_id = context.request_id.set(str(envelope.id))
    try:
        yield
    finally:
        context.request_id.reset(request_id)
        context.trace.reset(trace)


def _letter_id(message: Message) -> UUID:
    try:
        return decode(message.value).id
    except Unreadable:
        return uuid5(NAMESPACE_OID, message.value.hex())  # the same whenever it comes


def _reason(failure: Exception) -> str:
    """For whoever reads the dead letter; a bug is told by its kind."""
    if isinstance(failure, ApplicationError):
        return in_words(failure)
    return f"{type(failure).__name__}: {failure}"
