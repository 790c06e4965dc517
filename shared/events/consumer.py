"""From the bus to a service's handlers: each event takes effect once, and none stops those behind it.

- An event's effect and its row in the inbox are one transaction.
- While something is away (Unavailable) the event waits, for ever, and so does everything behind it.
- What else goes wrong is the event's fault, or a bug: after five attempts it is parked as a dead letter, with
  the error, and the next one has its turn. Events carry whole states with versions, so none needs the one
  before it.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, TypeVar
from uuid import NAMESPACE_OID, UUID, uuid5

import psycopg
from google.protobuf.message import Message as ProtobufMessage

from shared import context
from shared.db.database import Database
from shared.duties import Duty, failure_of
from shared.errors import ApplicationError, DeadlineExceeded, Invalid, Unavailable, in_words
from shared.events.bus import Bus, Message
from shared.events.dead_letters import DeadLetters
from shared.events.envelope import Envelope, Unreadable, decode, unseal
from shared.events.inbox import Inbox
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.observability.trouble import IntermittentTrouble, Trouble
from shared.tasks import background

PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds between the five attempts at an event
FIRST_WAIT_SECONDS, LAST_WAIT_SECONDS = 0.1, 5.0  # while something is away, doubling
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.25, 2.0  # until the bus is asked again, doubling
LAG_SECONDS = 5.0
SETTLED_SECONDS = 10.0  # longer than any bus takes to say that it is away
AWAY, FAILURE = "unavailable", "failure"  # why an event is tried again

T = TypeVar("T")

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
        self._parks_all = False  # whether the latest event was parked
        self._retry_pause = FIRST_RETRY_SECONDS
        self._trouble = Trouble(_log, "events do not come", "events come again")
        self._waiting = IntermittentTrouble(_log, "events wait", "events are taken in again")

    async def run(self, bus: Bus) -> None:
        """Take in what comes until cancelled, whatever is away meanwhile."""
        self._expose_metrics()
        await self._database.wait_until_migrated()
        while True:
            async with background(self._call_it_over(), "consumer settling"):
                failure = await failure_of(lambda: bus.consume(self.name, self.topics, self.handle))
            self._trouble.is_now(failure)
            await asyncio.sleep(self._retry_pause)
            self._retry_pause = min(2 * self._retry_pause, LAST_RETRY_SECONDS)

    async def _call_it_over(self) -> None:
        """Nothing need come for a long time: what has gone on for so long works."""
        await asyncio.sleep(SETTLED_SECONDS)
        self._events_come()

    def _events_come(self) -> None:
        self._retry_pause = FIRST_RETRY_SECONDS
        self._trouble.is_over()

    def _expose_metrics(self) -> None:
        for metric in (metrics.EVENTS_HANDLED, metrics.EVENT_DELAY, metrics.EVENTS_TRIED_AGAIN):
            metrics.expose(metric)
        handled = [(self.name, topic, outcome.value) for topic in self.topics for outcome in Outcome]
        metrics.start_at_zero(metrics.EVENTS_HANDLED, *handled)
        metrics.start_at_zero(metrics.EVENTS_TRIED_AGAIN, (self.name, AWAY), (self.name, FAILURE))

    def upkeep(self, bus: Bus) -> list[Duty]:
        """Forget what came long ago; know what waits, here and on the bus."""
        metrics.expose(metrics.CONSUMER_LAG)

        async def measure() -> None:
            try:
                lag = await bus.lag(self.name, self.topics)
            except Unavailable:
                self._show_lag(dict.fromkeys(self.topics, math.nan))
                raise
            self._show_lag(lag)

        return [self._inbox.upkeep(), self.dead_letters.upkeep(), Duty("consumer lag", measure, LAG_SECONDS)]

    def _show_lag(self, lag: Mapping[str, float]) -> None:
        for topic, count in lag.items():
            metrics.CONSUMER_LAG.labels(self.name, topic).set(count)

    async def handle(self, message: Message) -> None:
        """Return when the event has had its effect, had had it already, or is parked; not before."""
        self._events_come()
        outcome = await self._settle(message)
        if outcome is not Outcome.IGNORED:
            self._parks_all = outcome is Outcome.PARKED
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
            async with self._database.transaction("applied_event"):
                if not await self._inbox.is_new(envelope.id):
                    return Outcome.ALREADY
                await handler(contents)
            self._tell(envelope, message, time.monotonic() - started)
        return Outcome.APPLIED

    async def _settle(self, message: Message) -> Outcome:
        """One attempt more than there are pauses; then it is parked."""
        for attempt, pause in enumerate((*self._pauses, None), 1):
            try:
                return await self._patiently(partial(self.take, message))
            except Exception as failure:
                if attempt == 1 and await self._patiently(partial(self._is_parked, message)):
                    break  # and has come again
                if pause is None:
                    await self._patiently(partial(self._park, message, failure, attempt))
                    break
                metrics.EVENTS_TRIED_AGAIN.labels(self.name, FAILURE).inc()
                await asyncio.sleep(0 if self._is_futile(failure) else pause)
        return Outcome.PARKED

    async def _patiently(self, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns, or raises; tried again, for ever, while something that it needs is away."""
        wait = FIRST_WAIT_SECONDS
        while True:
            try:
                result = await work()
            except (Unavailable, DeadlineExceeded) as away:
                self._waiting.failed(away.detail)
                metrics.EVENTS_TRIED_AGAIN.labels(self.name, AWAY).inc()
            else:
                self._waiting.worked()
                return result
            await asyncio.sleep(wait)
            wait = min(2 * wait, LAST_WAIT_SECONDS)

    def _is_futile(self, failure: Exception) -> bool:
        """Whether waiting between attempts only holds up those behind: nothing changes, or nothing works."""
        return isinstance(failure, Unreadable | Invalid) or self._parks_all

    async def _is_parked(self, message: Message) -> bool:
        return await self.dead_letters.has(_letter_id(message))

    async def _park(self, message: Message, failure: Exception, attempts: int) -> None:
        letter_id, reason = _letter_id(message), reason_of(failure)
        await self.dead_letters.park(letter_id, message, reason, attempts)
        details = {"consumer": self.name, "letter": str(letter_id), "place": message.place, "reason": reason}
        bug = None if isinstance(failure, ApplicationError | psycopg.Error) else failure
        try:
            envelope = decode(message.value)
        except Unreadable:
            _log.error("event parked", extra=details, exc_info=bug)
            return
        with _as_part_of(envelope):
            about = {"type": envelope.type, "subject": envelope.subject}
            _log.error("event parked", extra={**details, **about}, exc_info=bug)

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
    """The event's, or made from the octets: the same whenever they come."""
    try:
        return decode(message.value).id
    except Unreadable:
        return uuid5(NAMESPACE_OID, message.value.hex())


def reason_of(failure: Exception) -> str:
    """Why an event could not be taken in, for whoever reads the log or the dead letter.

    A bug is told by its kind. PostgreSQL's details are left out: they have the values of rows.
    """
    if isinstance(failure, ApplicationError):
        return in_words(failure)
    if isinstance(failure, psycopg.Error):
        return f"{type(failure).__name__}: {failure.diag.message_primary}"
    return f"{type(failure).__name__}: {failure}"
