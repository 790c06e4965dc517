"""The orchestrator: takes every order's saga from its first step to its last, whatever dies meanwhile.

Any number of processes run one; who works at which saga is told in workers.py. Whoever goes on where another
has died sends the command that comes next, which may have been sent before: it is answered as it was then.

A claim is no lock. A process that was frozen goes on with one that is worth nothing any more. What it has
learned is discarded then, because its epoch is no longer the saga's, or the log has grown without it.

Each answer is one transaction: the entry in the log, whatever order decides itself because of it, and the
events of that, under the lock of the order's row. An owner's wish to cancel takes the same lock: it comes in
time as long as the log does not lead to the pivot yet, for nobody sends that before it does.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from services.order.domain.fulfilment import (
    DONE,
    Answer,
    Call,
    Command,
    Decision,
    Participants,
    Run,
    SagaRepository,
)
from services.order.domain.orders import REQUESTED, Order, OrderRepository
from services.order.service.endings import Endings
from services.order.service.silences import Silences
from services.order.service.workers import Workers
from shared import context
from shared.duties import Duty
from shared.errors import ApplicationError, Conflict, DeadlineExceeded, NotFound, Unavailable, in_words
from shared.observability import metrics
from shared.observability.tracing import begin_span
from shared.saga import Entry, Outcome, Saga, State, pause_after

# How often somebody who waits looks whether another process has brought the end; doubling.
FIRST_LOOK_SECONDS, LAST_LOOK_SECONDS = 0.25, 1.0
MOST_WAITING = 96  # in one process: a gateway has 128 connections to it, and others want to be answered
STUCK_SECONDS = 30.0  # waiting for one answer; longer than anything takes that mends itself
UPKEEP_SECONDS = 5.0
TIMED_OUT, FAILED = "timed_out", "failed"  # the reasons of orders whose step was abandoned

_log = logging.getLogger(__name__)


class Orchestrator:
    """The sagas of all orders, by the table `saga`. A claim lasts for `lease_seconds`.

    Once the process `is_leaving`, nobody is kept waiting any longer.
    Besides what each method says, all raise Unavailable while the repositories do.
    """

    def __init__(
        self,
        saga: Saga[Command],
        orders: OrderRepository,
        sagas: SagaRepository,
        participants: Participants,
        lease_seconds: float,
        is_leaving: Callable[[], bool] = bool,
    ) -> None:
        self._saga = saga
        self._orders = orders
        self._sagas = sagas
        self._participants = participants
        self._lease_seconds = lease_seconds
        self._is_leaving = is_leaving
        self._endings = Endings()
        self._silences = Silences()
        self._workers = Workers(sagas, self._step, lease_seconds)
        for metric in (metrics.SAGAS_ENDED, metrics.SAGA_DURATION, metrics.SAGA_COMMANDS):
            metrics.expose(metric)

    # What the use cases need

    async def begin(self, draft: Order) -> Order:
        """The order, placed. Joins the unit of work that is open. This process goes on with it, if it can."""
        async with self._sagas.unit_of_work("place_order"):
            order, entries, _ = await self._decide(draft, self._saga.state(()))
            if self._workers.are_free:
                run = await self._sagas.begin(order, entries, self._lease_seconds)
                self._sagas.after_commit(partial(self._workers.hand, run))
            else:
                await self._sagas.begin(order, entries, 0.0)
                self._sagas.after_commit(self._workers.wake)
            return order

    async def call_off(self, order: Order) -> None:
        """Turn the saga of a pending order back at its owner's wish. The order must be held.

        Raises Conflict when it is too late: the pivot may have been sent.
        """
        log = await self._sagas.log_of(order.order_id)
        state = self._saga.state(log)
        if state.reason or state.next is None:
            return
        if not state.may_be_abandoned:
            raise Conflict("It is too late: the goods are leaving.", code="too-late")
        entry = Entry(state.next.name, Outcome.ABANDONED, REQUESTED)
        async with self._sagas.unit_of_work("call_off"):
            await self._sagas.turn_back(order.order_id, log, entry)
            self._sagas.after_commit(self._workers.wake)

    async def wait(self, order_id: UUID, seconds: float) -> Order:
        """The order once it is final; as it is after `seconds`, or when this process is leaving.

        Or as it is now, when so many wait already that nobody else could be answered.
        """
        look = FIRST_LOOK_SECONDS
        with self._endings.watched(order_id) as ended:
            deadline = time.monotonic() + (seconds if len(self._endings) <= MOST_WAITING else 0.0)
            while True:
                left = deadline - time.monotonic()
                await asyncio.wait([ended], timeout=max(0.0, min(left, look)))
                if ended.done():
                    return ended.result()
                order = await self._orders.get(order_id)
                if order is None:
                    raise NotFound("There is no such order.")
                if order.is_final or left <= look or self._is_leaving():
                    return order
                look = min(2 * look, LAST_LOOK_SECONDS)

    # Working

    async def run(self) -> None:
        """Work at sagas until cancelled; then give those back that have not ended."""
        await self._workers.run()

    def upkeep(self) -> Duty:
        """Know how many sagas are running, and how many are stuck."""
        for metric in (metrics.SAGAS_RUNNING, metrics.SAGAS_STUCK, metrics.SAGA_OLDEST):
            metrics.expose(metric)

        async def look() -> None:
            found = await self._sagas.overview(STUCK_SECONDS)
            metrics.SAGAS_RUNNING.set(found.running)
            metrics.SAGAS_STUCK.set(found.stuck)
            metrics.SAGA_OLDEST.set(found.oldest_seconds)

        return Duty("sagas", look, UPKEEP_SECONDS)

    async def _step(self, run: Run) -> Run | None:
        """The command that comes next. The run as it is then; None when there is nothing to do for now."""
        context.trace.set(begin_span(run.traceparent))
        state, started = self._saga.state(run.log), time.monotonic()
        call = state.next
        assert isinstance(call, Call)
        entry, problem = await self._ask(call, run, state)
        seconds = time.monotonic() - started
        _tell(run, call, entry, problem, seconds)
        if entry is None:
            pause = pause_after(run.attempts + 1, random.random())  # noqa: S311 - no secret
            await self._sagas.postpone(run.claim, pause, problem)
            return None
        return await self._settle(run, state, entry)

    async def _ask(self, call: Call, run: Run, state: State[Command]) -> tuple[Entry | None, str]:
        """What becomes of the command; None while that is unknown and it has to be sent again, and why."""
        started = time.monotonic()
        try:
            answer = await self._answer(call, run.order)
        except (Unavailable, DeadlineExceeded) as silence:
            problem, reason = silence.detail, TIMED_OUT
            seconds = run.seconds + time.monotonic() - started
            gives_up = state.gives_up_after(seconds, run.attempts + 1)
        except Exception as failure:
            problem, reason = _in_words(failure), FAILED
            gives_up = state.may_be_abandoned
        else:
            outcome = Outcome.REFUSED if answer.refusal else Outcome.DONE
            return Entry(call.name, outcome, answer.refusal), ""
        return (Entry(call.name, Outcome.ABANDONED, reason) if gives_up else None), problem

    async def _answer(self, call: Call, order: Order) -> Answer:
        if not call.is_needed(order):
            return DONE
        with self._silences.asking(call.whom):
            return await call.ask(self._participants, order)

    async def _settle(self, run: Run, state: State[Command], entry: Entry) -> Run | None:
        """Write down what has become of a command, unless somebody else has been faster."""
        turned = state.after(entry)
        async with self._sagas.unit_of_work(f"{entry.action}_{entry.outcome}"):
            if not await self._sagas.hold(run):
                return await self._sagas.load(run.claim)
            order, decided, then = await self._decide(run.order, turned)
            entries = [entry, *decided]
            has_ended = then.next is None
            await self._sagas.advance(run, entries, None if has_ended else self._lease_seconds)
        if not has_ended:
            return run.advanced(order, entries)
        self._end(order)
        return None

    async def _decide(self, order: Order, state: State[Command]) -> tuple[Order, list[Entry], State[Command]]:
        """Carry out what order decides itself, for as long as that comes next: it needs no answer."""
        entries = list[Entry]()
        while isinstance(decision := state.next, Decision):
            event = decision.decide(order, state.reason)
            await self._orders.record(event)
            order, entry = event.order, Entry(decision.name, Outcome.DONE)
            entries.append(entry)
            state = state.after(entry)
        return order, entries, state

    def _end(self, order: Order) -> None:
        metrics.SAGAS_ENDED.labels(order.reason or order.status.lower()).inc()
        metrics.SAGA_DURATION.observe(max(0.0, (datetime.now(UTC) - order.placed_at).total_seconds()))
        self._endings.tell(order)


def _tell(run: Run, call: Call, entry: Entry | None, problem: str, seconds: float) -> None:
    outcome = "unanswered" if entry is None else entry.outcome.value
    metrics.SAGA_COMMANDS.labels(call.name, outcome).observe(seconds)
    details = {"order_id": str(run.claim.order_id), "action": call.name, "outcome": outcome}
    why = {"reason": problem or entry.reason if entry else problem, "attempt": run.attempts + 1}
    _log.info("saga", extra={**details, **why, "milliseconds": round(seconds * 1000, 1)})


def _in_words(failure: Exception) -> str:
    """Why a command has failed that has been answered, or could not be sent: a bug, or a contradiction."""
    if isinstance(failure, ApplicationError):
        return in_words(failure)
    _log.error("a command fails unexpectedly", exc_info=failure)
    return type(failure).__name__
