"""The owner changes their mind while somebody works at the order, in time or too late."""

from contextlib import AsyncExitStack

import pytest

from services.order.domain.fulfilment import Answer
from services.order.service import workers
from shared.db.database import Database
from shared.db.statements import execute
from shared.errors import Conflict
from tests.services.order.conftest import place_in
from tests.services.order.fake_participants import FakeParticipants
from tests.services.order.place import (
    CANCELLED,
    CONFIRMED,
    PENDING,
    WAIT_SECONDS,
    Place,
    at_work,
    calls,
    outcome,
)
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("unhurried")


@pytest.mark.parametrize(
    ("during", "asked"),
    [("reserve", "reserve release"), ("charge", "reserve charge refund release")],
)
async def test_before_the_pivot_an_order_can_be_called_off(place: Place, during: str, asked: str) -> None:
    async with place.held_up(during) as order:
        assert outcome(await place.cancel(order)) == (PENDING, "")
        assert outcome(await place.ended(order)) == (CANCELLED, "requested")
    assert calls(place.participants) == asked.split()  # whoever was held up has nothing more to say
    assert outcome(await place.ended(order)) == (CANCELLED, "requested")


async def test_before_anybody_works_at_it_an_order_can_be_called_off(place: Place) -> None:
    order = await place.placed()
    await place.cancel(order)
    assert outcome(await place.end(order)) == (CANCELLED, "requested")
    assert calls(place.participants) == ["release"]


async def test_when_the_pivot_may_have_been_sent_it_is_too_late(place: Place) -> None:
    async with place.held_up("commit") as order:
        with pytest.raises(Conflict) as refused:
            await place.cancel(order)
        assert refused.value.code == "too-late"
    assert outcome(await place.ended(order)) == (CONFIRMED, "")


@pytest.mark.parametrize("before_it_was", [("charge", "payment_declined"), ("commit", "reservation_expired")])
async def test_what_turns_back_already_keeps_its_reason(place: Place, before_it_was: tuple[str, str]) -> None:
    call, reason = before_it_was
    place.participants.will(call, Answer(reason))
    async with place.held_up("release") as order:
        assert (await place.cancel(order)).status is PENDING
    assert outcome(await place.ended(order)) == (CANCELLED, reason)


# A log that is not what it was


async def set_back(database: Database) -> None:
    """Without its latest line, as after the restoring of a backup."""
    await execute(database, "DELETE FROM saga_log WHERE position = 2")
    await execute(database, "UPDATE sagas SET (position, attempts) = (1, 0)")


@pytest.mark.parametrize("is_claimed", [False, True], ids=["nobody has claimed it", "another works at it"])
async def test_whoever_knows_another_log_has_no_say_when_it_was_called_off(
    database: Database, monkeypatch: pytest.MonkeyPatch, *, is_claimed: bool
) -> None:
    """The log is as long as the one they know, but leads elsewhere: only the epoch tells."""
    monkeypatch.setattr(workers, "AT_ONCE", 1)  # who is held up claims nothing else
    place, late, another = place_in(database), FakeParticipants(), FakeParticipants()
    may_go_on, may_release = late.hold_up("charge"), another.hold_up("release")
    order = await place.placed()
    async with at_work(place.orchestrator(late)):
        await eventually(lambda: "charge" in late.asked, WAIT_SECONDS)
        await set_back(database)
        await place.cancel(order)
        async with AsyncExitStack() as others:
            if is_claimed:
                await others.enter_async_context(at_work(place.orchestrator(another)))
                await eventually(lambda: "release" in another.asked, WAIT_SECONDS)
            may_go_on.set()
            next_one = await place.placed()
            await eventually(lambda: late.asked.count("reserve") == 2, WAIT_SECONDS)
            may_release.set()
            assert outcome(await place.final(order)) == (CANCELLED, "requested")
            assert outcome(await place.ended(next_one)) == (CONFIRMED, "")
