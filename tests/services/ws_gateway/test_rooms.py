"""Rooms over a chat that is slow, away, or knows people no more."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from services.ws_gateway import frames
from services.ws_gateway.domain import rooms as domain
from services.ws_gateway.service import rooms as service
from services.ws_gateway.service.rooms import RECOVERY_BYTES, RECOVERY_MESSAGES, TooManySubscriptions
from shared.errors import ApplicationError, Conflict, NotFound, Unavailable
from shared.observability import metrics
from shared.tasks import spawn
from tests.services.ws_gateway.fakes import COFFEE, TEA, Ear, House, opened
from tests.waiting import eventually


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with opened() as opened_house:
        yield opened_house


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(service, "LAST_RETRY_SECONDS", 0.05)


async def begun(work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
    """`work`, as far as it comes by itself."""
    task = spawn(work, "of a test")
    for _ in range(3):
        await asyncio.sleep(0)
    return task


def recoveries(kind: str) -> float:
    return float(metrics.WS_RECOVERIES.labels(kind)._value.get())


# From now on


async def test_who_names_no_number_hears_what_comes_from_now_on(house: House) -> None:
    house.chat.say("before")
    ada = Ear("ada")
    await house.subscribe(ada)
    house.chat.say("after")
    assert ada.heard[0] == {
        "id": 1,
        "type": "subscribed",
        "room": TEA,
        "seq": 1,
        "recovered": True,
        "messages": [],
    }
    assert ada.heard[1] == {
        "type": "message",
        "room": TEA,
        "seq": 2,
        "user_id": "bob",
        "display_name": "Bob",
        "text": "after",
        "at": "2026-01-01T00:00:00Z",
    }
    assert house.chat.calls["messages"] == 0


async def test_everybody_who_is_there_is_told_at_first_and_then_who_comes_and_goes(house: House) -> None:
    ada, bob = Ear("ada"), Ear("bob")
    await house.subscribe(ada)
    await eventually(lambda: ada.of_type("presence"))
    assert ada.of_type("presence")[0]["joined"] == ["ada"]
    await house.subscribe(bob)
    assert bob.heard[1] == {"type": "presence", "room": TEA, "joined": ["ada"], "left": []}
    await eventually(lambda: len(ada.of_type("presence")) == 2)
    house.rooms.unsubscribe(bob, TEA)
    await eventually(
        lambda: ada.heard[-1] == {"type": "presence", "room": TEA, "joined": [], "left": ["bob"]}
    )


async def test_a_deletion_comes_and_a_tombstone_has_no_text(house: House) -> None:
    ada, late = Ear("ada"), Ear("late")
    house.chat.say("regretted")
    await house.subscribe(ada, after=0)
    house.chat.delete(1)
    assert ada.heard[-1] == {"type": "deleted", "room": TEA, "seq": 1}
    await house.subscribe(late, after=0)
    (tombstone,) = late.heard[0]["messages"]
    assert (tombstone["deleted"], tombstone["text"]) == (True, "")


# The past


async def test_what_was_missed_comes_with_the_answer_over_several_pages(house: House) -> None:
    house.chat.page_at_most = 3  # chat answers with fewer when they are long
    for number in range(10):
        house.chat.say(f"m{number}")
    before, ada = recoveries("recovered"), Ear("ada")
    await house.subscribe(ada, after=2)
    assert ada.numbers == [3, 4, 5, 6, 7, 8, 9, 10]
    assert (ada.heard[0]["seq"], ada.heard[0]["recovered"]) == (10, True)
    assert recoveries("recovered") == before + 1


async def test_what_is_said_while_the_past_is_fetched_comes_after_it(house: House) -> None:
    house.chat.say("one")
    ada = Ear("ada")
    async with house.chat.answering_late("messages"):
        subscribing = await begun(house.subscribe(ada, after=0))
        house.chat.say("two")
        house.chat.delete(1)
        house.chat.delete(2)
        assert ada.heard == []
    await subscribing
    kinds = [frame["type"] for frame in ada.heard if frame["type"] != "presence"]
    assert kinds == ["subscribed", "message", "deleted", "deleted"]
    assert ada.numbers == [1, 2]


async def test_of_two_who_come_at_once_the_slower_one_misses_nothing(house: House) -> None:
    """The room begins with the quicker one's answer, which knows of a message that the slower one's lacks."""
    quick, slow = Ear("quick"), Ear("slow")
    async with house.chat.answering_late("messages"):
        subscribing = await begun(house.subscribe(slow, after=0))
        house.chat.say("one")
        await house.subscribe(quick)
        house.chat.say("two")
    await subscribing
    await eventually(lambda: slow.numbers == [1, 2])
    house.chat.say("three")
    assert (slow.numbers, quick.numbers) == ([1, 2, 3], [2, 3])


@pytest.mark.parametrize(
    ("missed", "is_recovered"), [(RECOVERY_MESSAGES, True), (RECOVERY_MESSAGES + 1, False)]
)
async def test_so_many_missed_messages_are_told_and_one_more_is_not(
    house: House, missed: int, is_recovered: bool
) -> None:
    for number in range(5 + missed):
        house.chat.say(f"m{number}")
    before, ada = recoveries("refused"), Ear("ada")
    await house.subscribe(ada, after=5)
    answer = ada.heard[0]
    assert (answer["recovered"], answer["seq"]) == (is_recovered, 5 + missed)
    if is_recovered:
        assert ada.numbers == list(range(6, 6 + missed))
        assert "history" not in answer
    else:
        assert answer["messages"] == []
        assert answer["history"] == f"/chat/rooms/{TEA}/messages?after=5"
        assert house.chat.calls["messages"] == 1  # no page is fetched in vain
        assert recoveries("refused") == before + 1
    house.chat.say("and on")
    assert ada.numbers[-1] == 6 + missed


@pytest.mark.parametrize(("more", "is_recovered"), [(0, True), (1, False)])
async def test_so_many_bytes_are_told_and_one_more_is_not(
    house: House, more: int, is_recovered: bool
) -> None:
    for _ in range(RECOVERY_BYTES // 5000):
        house.chat.say("é" * 2000)  # two bytes each
    house.chat.delete(house.chat.say(""))
    said, request = house.chat.rooms[TEA], frames.Subscribe(TEA, 1, 0)
    left = RECOVERY_BYTES - frames.subscribed(request, len(said), said, recovered=True).size
    said[-1] = replace(said[-1], text="x" * (left + more))
    ada = Ear("ada")
    await house.subscribe(ada, after=0)
    assert ada.heard[0]["recovered"] is is_recovered
    assert bool(ada.numbers) is is_recovered


async def test_a_number_that_nobody_has_said_yet_is_not_recovered(house: House) -> None:
    house.chat.say("one")
    ada = Ear("ada")
    await house.subscribe(ada, after=7)
    assert (ada.heard[0]["recovered"], ada.heard[0]["seq"], ada.heard[0]["messages"]) == (False, 1, [])
    house.chat.say("two")
    assert ada.numbers == [2]


# Coming and going


async def test_who_subscribes_again_hears_everything_once(house: House) -> None:
    ada = Ear("ada")
    house.chat.say("one")
    await house.subscribe(ada, after=0)
    await house.subscribe(ada, after=1)
    house.chat.say("two")
    assert ada.numbers == [1, 2]
    assert house.rooms.count() == 1
    assert house.presence.connections[TEA, "ada"] == 1


async def test_one_more_room_than_allowed_is_refused_but_not_one_that_is_heard_already(house: House) -> None:
    ada = Ear("ada")
    rooms = [TEA, COFFEE, "018cc251-f400-7000-8000-000000000003"]
    for room_id in [*rooms, "018cc251-f400-7000-8000-000000000004"]:
        house.chat.rooms.setdefault(room_id, [])
    for room_id in [*rooms, TEA]:
        await house.subscribe(ada, room_id=room_id)
    with pytest.raises(TooManySubscriptions):
        await house.subscribe(ada, room_id="018cc251-f400-7000-8000-000000000004")
    assert set(ada.subscriptions) == set(rooms)


async def test_who_unsubscribes_or_goes_hears_no_more_and_is_not_kept(house: House) -> None:
    ada = Ear("ada")
    await house.subscribe(ada)
    house.rooms.unsubscribe(ada, TEA)
    house.rooms.unsubscribe(ada, TEA)
    house.chat.say("one")
    assert ada.numbers == []
    for room_id in (TEA, COFFEE):
        await house.subscribe(ada, room_id=room_id)
    house.rooms.unsubscribe_from_all(ada)
    assert TEA not in house.rooms
    assert house.rooms.count() == 0
    assert not +house.presence.connections


async def test_who_goes_while_their_past_is_fetched_is_not_kept(house: House) -> None:
    ada = Ear("ada")
    async with house.chat.answering_late("messages"):
        subscribing = await begun(house.subscribe(ada, after=0))
        house.rooms.unsubscribe_from_all(ada)
    with pytest.raises(NotFound):
        await subscribing
    assert TEA not in house.rooms
    assert not house.presence.connections


async def test_who_may_not_know_of_the_room_does_not_get_in(house: House) -> None:
    house.chat.strangers.add("eve")
    for after in (None, 0):
        with pytest.raises(NotFound):
            await house.subscribe(Ear("eve"), after)
    assert TEA not in house.rooms


async def test_while_chat_is_away_nobody_gets_in(house: House) -> None:
    house.chat.is_away = True
    with pytest.raises(Unavailable):
        await house.subscribe(Ear("ada"))
    assert TEA not in house.rooms


async def test_too_much_said_while_the_past_is_fetched_is_no_half_subscription(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(domain, "MOST_MEANWHILE", 3)
    await house.subscribe(Ear("bob"))
    ada = Ear("ada")
    async with house.chat.answering_late("heads"):
        subscribing = await begun(house.subscribe(ada))
        for number in range(4):
            house.chat.say(f"m{number}")
    with pytest.raises(Unavailable):
        await subscribing
    assert (ada.heard, ada.subscriptions) == ([], {})


# Members


async def test_who_was_removed_hears_no_more_and_is_told(house: House) -> None:
    eve, ada = Ear("eve"), Ear("ada")
    await house.subscribe(eve)
    await house.subscribe(ada)
    house.chat.strangers.add("eve")
    house.rooms.member_removed(TEA, "eve")
    await eventually(lambda: eve.of_type("unsubscribed"))
    assert eve.of_type("unsubscribed") == [{"type": "unsubscribed", "room": TEA, "code": "removed"}]
    house.chat.say("among us")
    assert (eve.numbers, ada.numbers) == ([], [1])
    assert house.presence.connections[TEA, "eve"] == 0


async def test_who_was_removed_from_a_public_room_may_stay(house: House) -> None:
    eve = Ear("eve")
    await house.subscribe(eve)
    house.rooms.member_removed(TEA, "eve")
    await eventually(lambda: house.chat.calls["heads"] == 2)
    house.chat.say("one")
    assert eve.numbers == [1]


async def test_others_are_not_asked_about_when_somebody_is_removed(house: House) -> None:
    await house.subscribe(Ear("ada"))
    house.rooms.member_removed(TEA, "eve")
    house.rooms.member_removed(COFFEE, "ada")
    await asyncio.sleep(0)
    assert not house.rooms._suspects
    assert house.chat.calls["heads"] == 1


async def test_who_is_removed_while_subscribing_gets_an_error_and_nothing_else(house: House) -> None:
    await house.subscribe(Ear("ada"))
    eve = Ear("eve")
    async with house.chat.answering_late("messages"):
        subscribing = await begun(house.subscribe(eve, after=0))
        house.chat.strangers.add("eve")
        house.rooms.member_removed(TEA, "eve")
        await eventually(lambda: not eve.subscriptions)
        house.chat.say("among us")
    with pytest.raises(NotFound):
        await subscribing
    assert eve.heard == []


# Saying something


async def test_what_is_said_is_answered_with_its_number_and_comes_back(house: House) -> None:
    ada = Ear("ada")
    await house.subscribe(ada)
    for _ in range(2):
        await house.rooms.post(ada, frames.Post(room=TEA, id="p", key="k", text="hello"))
    posted = {"id": "p", "type": "posted", "room": TEA, "seq": 1}
    assert ada.of_type("posted") == [posted, posted]
    assert ada.numbers == [1]
    with pytest.raises(Conflict, match="another text"):
        await house.rooms.post(ada, frames.Post(room=TEA, key="k", text="other"))


async def test_only_who_hears_a_room_may_speak_in_it(house: House) -> None:
    with pytest.raises(ApplicationError) as refused:
        await house.rooms.post(Ear("ada"), frames.Post(room=TEA, key="k", text="hello"))
    assert refused.value.code == "not_subscribed"
    assert house.chat.calls["post"] == 0


# What did not come


async def test_a_gap_is_filled_and_the_order_kept(house: House) -> None:
    before, ears = recoveries("gap"), [Ear("ada"), Ear("bob")]
    for ear in ears:
        await house.subscribe(ear)
    house.chat.say("lost", is_heard=False)
    house.chat.say("heard")
    await eventually(lambda: [ear.numbers for ear in ears] == [[1, 2], [1, 2]])
    assert recoveries("gap") == before + 1


async def test_a_gap_is_filled_once_chat_is_back(house: House, caplog: pytest.LogCaptureFixture) -> None:
    ada = Ear("ada")
    await house.subscribe(ada)
    house.chat.is_away = True
    house.chat.say("lost", is_heard=False)
    house.chat.say("heard")
    await eventually(lambda: house.chat.calls["messages"] >= 3)
    assert ada.numbers == []
    house.chat.is_away = False
    await eventually(lambda: ada.numbers == [1, 2])
    assert [each.message for each in caplog.records] == ["rooms cannot be caught up"]


async def test_a_long_gap_is_filled_page_by_page(house: House) -> None:
    ada = Ear("ada")
    await house.subscribe(ada)
    said = 3 * domain.AT_ONCE + 1
    for number in range(said):
        house.chat.say(f"m{number}", is_heard=number == said - 1)
    await eventually(lambda: ada.numbers == list(range(1, said + 1)))


async def test_the_gap_is_asked_for_in_the_name_of_who_may_know(house: House) -> None:
    """Whoever may not is found out, and somebody else's name will do."""
    eve, ada = Ear("eve"), Ear("ada")
    await house.subscribe(eve)
    await house.subscribe(ada)
    house.chat.strangers.add("eve")
    house.chat.say("lost", is_heard=False)
    house.chat.say("heard")
    await eventually(lambda: ada.numbers == [1, 2])
    assert (eve.numbers, eve.heard[-1]["code"]) == ([], "removed")


async def test_after_something_was_missed_rooms_are_caught_up_and_members_looked_at(house: House) -> None:
    ada, eve = Ear("ada"), Ear("eve")
    for ear in (ada, eve):
        for room_id in (TEA, COFFEE):
            await house.subscribe(ear, room_id=room_id)
    house.chat.is_away = True
    house.chat.say("lost", is_heard=False)
    house.chat.say("lost", COFFEE, is_heard=False)
    house.chat.strangers.add("eve")
    house.rooms.missed_something()
    await eventually(lambda: house.chat.calls["heads"] >= 7)
    assert (ada.numbers, eve.of_type("unsubscribed")) == ([], [])
    house.chat.is_away = False
    await eventually(lambda: sorted(ada.numbers) == [1, 1])
    await eventually(lambda: len(eve.of_type("unsubscribed")) == 2)
    assert eve.numbers == []


async def test_all_rooms_of_many_users_are_caught_up(house: House) -> None:
    ears = [Ear(f"user-{number}") for number in range(3 * service.CHECKED_AT_ONCE + 1)]
    for ear in ears:
        await house.subscribe(ear)
    house.chat.say("lost", is_heard=False)
    house.rooms.missed_something()
    await eventually(lambda: all(ear.numbers == [1] for ear in ears))
    await eventually(lambda: house.chat.calls["heads"] == 2 * len(ears))
