"""Who does not answer holds up those who ask, and nobody else."""

from contextlib import ExitStack

import pytest

from services.order.service import silences, workers
from services.order.service.silences import Silences
from shared.errors import Unavailable
from tests.services.order.place import CONFIRMED, WAIT_SECONDS, Place, at_work, outcome
from tests.waiting import eventually

MOST = 2


@pytest.fixture(autouse=True)
def _few_may_be_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "MOST_SILENT", MOST)


def is_asked(found: Silences, whom: str) -> bool:
    try:
        with found.asking(whom):
            return True
    except Unavailable:
        return False


def test_while_many_are_silent_nobody_else_is_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "SILENT_SECONDS", -1.0)  # from the beginning
    found = Silences()
    with ExitStack() as silent:
        for _ in range(MOST):
            assert is_asked(found, "payment")
            silent.enter_context(found.asking("payment"))
        assert not is_asked(found, "payment")
        assert is_asked(found, "inventory")
    assert is_asked(found, "payment")


def test_an_answer_makes_room_and_a_failure_does_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silences, "SILENT_SECONDS", -1.0)
    found = Silences()
    with found.asking("payment"):
        for _ in range(MOST):
            with pytest.raises(ZeroDivisionError), found.asking("payment"):
                raise ZeroDivisionError
        assert is_asked(found, "payment")


def test_who_has_had_no_time_to_answer_is_not_silent() -> None:
    found = Silences()
    with ExitStack() as asked:
        for _ in range(10 * MOST):
            asked.enter_context(found.asking("payment"))


@pytest.mark.usefixtures("unhurried")
async def test_a_frozen_payment_holds_up_no_order_that_needs_none(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "AT_ONCE", MOST + 2)
    monkeypatch.setattr(silences, "SILENT_SECONDS", 0.0)
    may_charge, ours = place.participants.hold_up("charge"), place.orchestrator()
    async with at_work(ours):
        paid = [await place.placed() for _ in range(10)]
        await eventually(lambda: place.participants.asked.count("charge") == MOST, WAIT_SECONDS)
        gift = await place.placed(price=0)
        assert outcome(await place.final(gift)) == (CONFIRMED, "")
        assert place.participants.asked.count("charge") == MOST
        may_charge.set()
        for order in paid:
            assert outcome(await place.final(order)) == (CONFIRMED, "")
