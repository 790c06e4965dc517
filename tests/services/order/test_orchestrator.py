"""What becomes of orders, whoever refuses, is silent or fails meanwhile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
from prometheus_client import REGISTRY

from services.order.domain.fulfilment import Answer
from services.order.domain.orders import OrderStatus
from services.order.saga import PATIENCE
from shared import saga as engine
from shared.db.database import Database
from shared.errors import Conflict, DeadlineExceeded
from tests.services.order.conftest import place_in
from tests.services.order.fake_participants import SILENCE, FakeParticipants
from tests.services.order.place import (
    CANCELLED,
    CONFIRMED,
    SHORT,
    WAIT_SECONDS,
    Place,
    at_work,
    calls,
    outcome,
)
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("unhurried")


@dataclass(frozen=True)
class Story:
    name: str
    answers: Mapping[str, Sequence[Answer | Exception]]
    asked: str
    reason: str = ""
    patience: float = PATIENCE
    price: int = 9_800


DONE = Answer()
STORIES = (
    Story("everybody is willing", {}, "reserve charge commit"),
    Story("out of stock", {"reserve": [Answer("out_of_stock")]}, "reserve", "out_of_stock"),
    Story("declined", {"charge": [Answer("payment_declined")]}, "reserve charge release", "payment_declined"),
    Story(
        "expired",
        {"commit": [Answer("reservation_expired")]},
        "reserve charge commit refund release",
        "reservation_expired",
    ),
    Story("slow", {"reserve": [SILENCE, SILENCE, DONE]}, "reserve charge commit"),
    Story("too late for a call", {"charge": [DeadlineExceeded("Late."), DONE]}, "reserve charge commit"),
    Story("no inventory", {"reserve": [SILENCE]}, "reserve release", "timed_out", patience=SHORT),
    Story("no payment", {"charge": [SILENCE]}, "reserve charge refund release", "timed_out", patience=SHORT),
    Story(
        "a slow pivot is not given up",
        {"commit": [SILENCE] * 9 + [DONE]},
        "reserve charge commit",
        patience=0,
    ),
    Story(
        "slow compensations are not given up",
        {
            "commit": [Answer("not_reserved")],
            "refund": [SILENCE] * 5 + [DONE],
            "release": [SILENCE] * 5 + [DONE],
        },
        "reserve charge commit refund release",
        "not_reserved",
        patience=0,
    ),
    Story("a bug", {"charge": [ZeroDivisionError()]}, "reserve charge refund release", "failed"),
    Story("a contradiction", {"reserve": [Conflict("Other goods.")]}, "reserve release", "failed"),
    Story("a bug in the pivot", {"commit": [ZeroDivisionError(), DONE]}, "reserve charge commit"),
    Story(
        "a contradiction in a compensation",
        {"charge": [Answer("payment_declined")], "release": [Conflict("They have left."), DONE]},
        "reserve charge release",
        "payment_declined",
    ),
    Story("a gift", {}, "reserve commit", price=0),
    Story(
        "an expired gift",
        {"commit": [Answer("reservation_expired")]},
        "reserve commit release",
        "reservation_expired",
        price=0,
    ),
)


async def told(story: Story, place: Place) -> None:
    participants = FakeParticipants()
    for call, answers in story.answers.items():
        participants.will(call, *answers)
    order = await place.placed(story.price)
    async with at_work(place.orchestrator(participants, story.patience)):
        ended = await place.ended(order)
    assert calls(participants) == story.asked.split()
    assert outcome(ended) == (CANCELLED if story.reason else CONFIRMED, story.reason)
    assert ended.version == 2


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
async def test_what_becomes_of_an_order(place: Place, story: Story) -> None:
    await told(story, place)


async def test_in_postgresql_the_same_becomes_of_it(database: Database) -> None:
    place = place_in(database)
    for story in STORIES:
        await told(story, place)


@pytest.mark.parametrize(("in_vain", "ends"), [(2, (CONFIRMED, "")), (3, (CANCELLED, "timed_out"))])
async def test_however_long_nobody_tried_so_many_tries_are_made(
    place: Place, monkeypatch: pytest.MonkeyPatch, in_vain: int, ends: tuple[OrderStatus, str]
) -> None:
    """As after an outage of order itself: the patience has run out when the first call is made."""
    monkeypatch.setattr(engine, "FEWEST_ATTEMPTS", 3)
    place.participants.will("charge", *[SILENCE] * in_vain, DONE)
    order = await place.placed()
    async with at_work(place.orchestrator(patience=0.0)):
        assert outcome(await place.ended(order)) == ends
    assert place.participants.asked.count("charge") == min(in_vain + 1, 3)


async def test_operators_see_how_many_are_under_way(place: Place) -> None:
    order = await place.placed()
    place.participants.will("commit", SILENCE)
    orchestrator = place.orchestrator()
    async with at_work(orchestrator):
        await eventually(lambda: place.participants.asked.count("commit") > 2, WAIT_SECONDS)
        await orchestrator.upkeep().work()
        assert REGISTRY.get_sample_value("sagas_running") == 1
        assert REGISTRY.get_sample_value("sagas_stuck") == 0
        assert 0 < (REGISTRY.get_sample_value("sagas_oldest_seconds") or 0) < WAIT_SECONDS
        place.participants.will("commit", DONE)
        await place.ended(order)
    await orchestrator.upkeep().work()
    assert REGISTRY.get_sample_value("sagas_running") == 0
