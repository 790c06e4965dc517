"""Who works at which saga, and who goes on where another has died, is frozen, or has no room."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from services.order.domain.fulfilment import DONE, Answer, Claim, Run
from services.order.domain.orders import Order
from services.order.service import workers
from services.order.service.orchestrator import Orchestrator
from shared import context
from shared.context import ANONYMOUS, Principal
from shared.errors import Unavailable
from shared.observability.tracing import begin_span
from shared.saga import Entry, Outcome
from tests.services.order.fake_participants import SILENCE, FakeParticipants
from tests.services.order.memory_repository import MemoryOrderRepository, MemorySagaRepository
from tests.services.order.place import (
    CANCELLED,
    CONFIRMED,
    LEASE_SECONDS,
    SHORT,
    WAIT_SECONDS,
    Place,
    at_work,
    calls,
    outcome,
)
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("unhurried")


async def test_no_more_than_so_many_are_worked_at_and_all_end(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 3)
    placed, orchestrator = [await place.placed() for _ in range(10)], place.orchestrator()
    async with at_work(orchestrator):
        ended = [await orchestrator.wait(order.order_id, WAIT_SECONDS) for order in placed]
    assert {order.status for order in ended} == {CONFIRMED}
    assert place.participants.most_at_once == 3


# Several processes, of which some die


async def test_a_frozen_process_is_overtaken_and_its_answer_discarded(
    shared_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 1)  # who is frozen claims nothing meanwhile
    place, frozen = shared_place, FakeParticipants()
    order, may_thaw = await place.placed(), frozen.hold_up("reserve")
    frozen.will("reserve", Answer("out_of_stock"))
    async with at_work(place.orchestrator(frozen, lease=SHORT)):
        await eventually(lambda: frozen.asked, WAIT_SECONDS)
        async with at_work(place.orchestrator()):
            assert outcome(await place.ended(order)) == (CONFIRMED, "")
        before = await place.sagas.log_of(order.order_id)
        may_thaw.set()
        frozen.will("charge", DONE)
        again = await place.placed()
        assert outcome(await place.ended(again)) == (CANCELLED, "out_of_stock")  # it goes on with others
    assert await place.sagas.log_of(order.order_id) == before
    assert calls(place.participants) == ["reserve", "charge", "commit"]
    assert calls(frozen) == ["reserve"]


async def test_who_leaves_gives_back_and_another_goes_on(shared_place: Place) -> None:
    place, leaving = shared_place, FakeParticipants()
    order = await place.placed()
    leaving.hold_up("commit")
    async with at_work(place.orchestrator(leaving)):
        await eventually(lambda: "commit" in leaving.asked, WAIT_SECONDS)
    assert outcome(await place.end(order)) == (CONFIRMED, "")
    assert place.participants.asked == ["commit"]


async def test_who_has_died_is_waited_for_no_longer_than_its_lease(place: Place) -> None:
    order = await place.placed()
    assert await place.sagas.claim_due(10, SHORT)
    assert outcome(await place.end(order)) == (CONFIRMED, "")


async def test_what_is_turned_back_goes_on_after_a_restart(place: Place) -> None:
    order = await place.placed()
    place.participants.will("commit", Answer("reservation_expired"))
    place.participants.will("release", SILENCE)
    async with at_work(place.orchestrator()):
        await eventually(lambda: "release" in place.participants.asked, WAIT_SECONDS)
    another = FakeParticipants()
    async with at_work(place.orchestrator(another)):
        assert outcome(await place.ended(order)) == (CANCELLED, "reservation_expired")
    assert another.asked == ["release"]


# Our own database


AWAY = Unavailable("The database does not answer.")


class Troubled(MemorySagaRepository):
    """Fails at some calls; `loses` commits of which it cannot say whether they were made."""

    def __init__(self, orders: MemoryOrderRepository) -> None:
        super().__init__(orders)
        self.fails_at: dict[str, int] = {}
        self.failure: Exception = AWAY
        self.loses = 0

    def _ask(self, what: str) -> None:
        if self.fails_at.get(what, 0):
            self.fails_at[what] -= 1
            raise self.failure

    async def claim_due(self, limit: int, seconds: float) -> list[Claim]:
        self._ask("claim_due")
        return await super().claim_due(limit, seconds)

    async def load(self, claim: Claim) -> Run | None:
        self._ask("load")
        return await super().load(claim)

    async def hold(self, run: Run) -> bool:
        self._ask("hold")
        return await super().hold(run)

    async def postpone(self, claim: Claim, seconds: float, problem: str) -> None:
        self._ask("postpone")
        await super().postpone(claim, seconds, problem)

    @asynccontextmanager
    async def unit_of_work(self, what: str = "") -> AsyncIterator[None]:
        async with super().unit_of_work(what):
            yield
        if what != "place_order" and self.loses:
            self.loses -= 1
            raise AWAY


@pytest.fixture
def troubled(memory: MemoryOrderRepository) -> Troubled:
    return Troubled(memory)


@pytest.mark.parametrize("call", ["claim_due", "load", "hold", "postpone"])
async def test_while_our_own_database_is_away_nothing_is_lost(
    memory: MemoryOrderRepository, troubled: Troubled, call: str
) -> None:
    place = Place(memory, troubled)
    place.participants.will("charge", *[SILENCE] * 4, DONE)
    order = await place.placed()
    troubled.fails_at[call] = 3
    assert outcome(await place.end(order)) == (CONFIRMED, "")
    assert calls(place.participants) == ["reserve", "charge", "commit"]
    assert troubled.fails_at[call] == 0


async def test_a_commit_that_may_or_may_not_have_been_made_is_looked_up(
    memory: MemoryOrderRepository, troubled: Troubled
) -> None:
    place = Place(memory, troubled)
    order = await place.placed()
    troubled.loses = 3
    assert outcome(await place.end(order)) == (CONFIRMED, "")
    assert place.participants.asked == ["reserve", "charge", "commit"]
    assert troubled.loses == 0


async def test_a_saga_that_cannot_go_on_rests_and_holds_nobody_up(
    memory: MemoryOrderRepository, place: Place
) -> None:
    broken, order = await place.placed(), await place.placed()
    async with place.sagas.unit_of_work():
        await place.sagas.turn_back(broken.order_id, (), Entry("nonsense", Outcome.DONE))
    async with at_work(place.orchestrator()):
        assert (await place.orchestrator().wait(order.order_id, WAIT_SECONDS)).status is CONFIRMED
        await eventually(lambda: memory.memory.sagas[broken.order_id].attempts >= 1, WAIT_SECONDS)
    assert memory.memory.sagas[broken.order_id].problem == "cannot go on: nonsense is not what comes next"
    assert (await place.sagas.overview(0.0)).running == 1


@pytest.mark.parametrize("call", ["load", "hold"])
async def test_a_saga_rests_after_a_bug_and_says_so(
    memory: MemoryOrderRepository, troubled: Troubled, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(workers, "LAST_PAUSE_SECONDS", LEASE_SECONDS)
    place, orchestrator = Place(memory, troubled), Place(memory, troubled).orchestrator()
    order, troubled.failure, troubled.fails_at = await place.placed(), ZeroDivisionError(), {call: 1}
    async with at_work(orchestrator):
        await eventually(lambda: memory.memory.sagas[order.order_id].problem, WAIT_SECONDS)
        assert memory.memory.sagas[order.order_id].problem == "cannot go on: ZeroDivisionError"
        assert await place.sagas.hurry(order.order_id)
        assert outcome(await place.ended(order)) == (CONFIRMED, "")


# What is handed to them


class Listening(FakeParticipants):
    """To what travels with a call."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = list[tuple[object, ...]]()

    async def charge(self, order: Order) -> Answer:
        trace = context.trace.get()
        assert trace is not None
        self.heard.append((context.principal.get(), context.deadline.get(), trace.trace_id))
        return await super().charge(order)


async def ready(place: Place, orchestrator: Orchestrator) -> None:
    """It is at work once an order has ended."""
    await place.ended(await place.placed(by=orchestrator))


async def test_who_places_an_order_goes_on_with_it_unclaimed_and_without_the_request(
    memory: MemoryOrderRepository, troubled: Troubled
) -> None:
    place, listening = Place(memory, troubled), Listening()
    ours = place.orchestrator(listening)
    async with at_work(ours):
        await ready(place, ours)
        troubled.fails_at["claim_due"] = 10**9
        context.principal.set(Principal("alice"))
        context.deadline.set(time.monotonic() - 1.0)
        context.trace.set(trace := begin_span(None))
        order = await place.placed(by=ours)
        assert outcome(await place.ended(order)) == (CONFIRMED, "")
    assert listening.heard[1:] == [(ANONYMOUS, None, trace.trace_id)]


async def test_what_is_handed_beyond_the_limit_is_given_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 1)
    full = FakeParticipants()
    ours = place.orchestrator(full)
    async with at_work(ours):
        await ready(place, ours)
        may_go_on = full.hold_up("reserve")
        async with place.sagas.unit_of_work():  # neither knows of the other before it is committed
            one, two = await place.placed(by=ours), await place.placed(by=ours)
        async with at_work(place.orchestrator()):
            assert outcome(await place.final(two)) == (CONFIRMED, "")
        assert full.most_at_once == 1
        may_go_on.set()
        assert outcome(await place.ended(one)) == (CONFIRMED, "")


async def test_who_has_no_room_leaves_it_to_others(
    memory: MemoryOrderRepository, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", 1)
    full = FakeParticipants()
    ours, may_go_on = place.orchestrator(full), full.hold_up("reserve")
    async with at_work(ours):
        await place.placed(by=ours)
        await eventually(lambda: full.asked, WAIT_SECONDS)
        order = await place.placed(by=ours)
        async with at_work(place.orchestrator()):
            assert outcome(await place.final(order)) == (CONFIRMED, "")
        assert memory.memory.sagas[order.order_id].epoch == 1  # it was nobody else's before
        may_go_on.set()


async def test_what_is_placed_while_nobody_is_at_work_is_anothers_at_once(shared_place: Place) -> None:
    place = shared_place
    ours = place.orchestrator()
    async with at_work(ours):
        await ready(place, ours)
    order = await place.placed(by=ours)
    another = FakeParticipants()
    async with at_work(place.orchestrator(another)):
        assert outcome(await place.ended(order)) == (CONFIRMED, "")
    assert another.asked == ["reserve", "charge", "commit"]


async def test_what_has_not_been_placed_is_handed_to_nobody(shared_place: Place) -> None:
    place = shared_place
    ours = place.orchestrator()

    async def place_and_fail() -> None:
        async with place.sagas.unit_of_work():
            await place.placed(by=ours)
            raise ZeroDivisionError

    async with at_work(ours):
        await ready(place, ours)
        with pytest.raises(ZeroDivisionError):
            await place_and_fail()
        await ready(place, ours)
    assert place.participants.asked == ["reserve", "charge", "commit"] * 2
