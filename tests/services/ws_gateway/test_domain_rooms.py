"""The order of a room, whatever becomes of events and answers on their way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from services.ws_gateway.domain import rooms
from services.ws_gateway.domain.rooms import Deleted, Entry, Posted, Room, Subscription

Told = Literal["text", "tombstone", "deleted"]
FEW = 3  # entries kept, where a bound is to be reached
PAGE = 4

EXAMPLES = settings(max_examples=40, stateful_step_count=40, deadline=None)


def posted(*numbers: int) -> list[Posted]:
    return [Posted(number, "text") for number in numbers]


def numbers(entries: Sequence[Entry]) -> list[int]:
    return [entry.seq for entry in entries]


@dataclass(eq=False)
class Client:
    """One subscriber, who checks what it is told."""

    after: int | None
    subscription: Subscription = field(default_factory=Subscription)
    history: tuple[int, list[Posted]] | None = None  # chat's answer, on its way
    first: int = 0  # the lowest number that it is to be told
    told: dict[int, Told] = field(default_factory=dict)

    def begin(self, head: int, messages: Sequence[Posted]) -> None:
        self.first = (messages[0].seq if messages else head + 1) if self.after is not None else head + 1
        for message in messages:
            self.hear(message)

    def hear(self, entry: Entry) -> None:
        if isinstance(entry, Posted):
            assert entry.seq == self.first + len(self.told), "once, and in order"
            self.told[entry.seq] = entry.content
        else:
            assert entry.seq < self.first + len(self.told), "no deletion before its message"
            if entry.seq in self.told:
                self.told[entry.seq] = "deleted"


class Conversation(RuleBasedStateMachine):
    """A chat database, a bus that loses, repeats and delays, and subscribers who come and go.

    What the service does between the two is done here step by step, so that anything may come in between.
    """

    clients = Bundle("clients")

    def __init__(self) -> None:
        super().__init__()
        self.database: list[Told] = []  # the message with number n is the n-th
        self.deletions_lost: set[int] = set()
        self.wire: list[Entry] = []
        self.room: Room[Client] = Room()
        self.gap: tuple[int, list[Posted]] | None = None  # chat's answer, on its way

    # Chat

    @rule(count=st.integers(1, 3))
    def post(self, count: int) -> None:
        for _ in range(count):
            self.database.append("text")
            self.wire.append(Posted(len(self.database), "text"))

    @precondition(lambda self: "text" in self.database)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        there = [number for number, told in enumerate(self.database, 1) if told == "text"]
        number = data.draw(st.sampled_from(there))
        self.database[number - 1] = "tombstone"
        self.wire.append(Deleted(number, "deleted"))

    def read(self, after: int, limit: int) -> tuple[int, list[Posted]]:
        page = self.database[after : after + limit]
        return len(self.database), [Posted(after + place, told) for place, told in enumerate(page, 1)]

    # The bus

    @precondition(lambda self: self.wire)
    @rule(place=st.integers(0, 3), count=st.integers(1, 5), again=st.booleans())
    def deliver(self, place: int, count: int, again: bool) -> None:
        """Some of what is on its way, not the oldest first perhaps, and perhaps not for the last time."""
        entries = self.wire[place : place + count]
        if not again:
            del self.wire[place : place + count]
        for entry in entries:
            self.pass_on(self.room.receive(entry))

    @precondition(lambda self: self.wire)
    @rule(place=st.integers(0, 3))
    def lose(self, place: int) -> None:
        for entry in self.wire[place : place + 1]:
            self.wire.remove(entry)
            if isinstance(entry, Deleted):
                self.deletions_lost.add(entry.seq)

    # Subscribers

    @initialize(target=clients)
    def begin(self) -> Client:
        """Somebody is there from the beginning on."""
        client = self.someone(after=0)
        self.chat_looks(client)
        self.welcome(client)
        return client

    @precondition(lambda self: len(self.room.subscriptions) < 3)
    @rule(target=clients, back=st.none() | st.integers(0, 9))
    def join(self, back: int | None) -> Client:
        return self.someone(None if back is None else max(0, len(self.database) - back))

    def someone(self, after: int | None) -> Client:
        client = Client(after)
        self.room.subscriptions[client] = client.subscription
        return client

    @rule(client=clients)
    def chat_looks(self, client: Client) -> None:
        """Chat makes its answer up; it will be here later."""
        if client.history is None:
            head = len(self.database)
            client.history = self.read(head if client.after is None else client.after, head)

    @rule(client=clients)
    def welcome(self, client: Client) -> None:
        if client in self.room.subscriptions and not client.subscription.is_live and client.history:
            head, messages = client.history
            if client.subscription.has_lost_track:
                self.leave(client)
                return
            client.begin(head, messages)
            for entry in client.subscription.catch_up(head):
                client.hear(entry)
            self.pass_on(self.room.begin(client.subscription.seq))

    @rule(client=consumes(clients))
    def leave(self, client: Client) -> None:
        if self.room.subscriptions.pop(client, None) and not self.room.subscriptions:
            self.room = Room()
            self.gap = None

    def pass_on(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            for client, subscription in self.room.subscriptions.items():
                if subscription.takes(entry):
                    client.hear(entry)
        self.check_bounds()

    # What was missed

    @rule()
    def hear_of_the_head(self) -> None:
        self.room.expect(len(self.database))

    @precondition(lambda self: self.room.is_behind and self.gap is None)
    @rule()
    def chat_looks_for_the_gap(self) -> None:
        self.gap = self.read(self.room.seq or 0, PAGE)

    @precondition(lambda self: self.gap is not None)
    @rule()
    def fill(self) -> None:
        assert self.gap is not None
        (head, messages), self.gap = self.gap, None
        self.pass_on(self.room.fill(messages, head))

    # What holds

    def check_bounds(self) -> None:
        assert len(self.room._early) <= rooms.AT_ONCE
        assert len(self.room._deletions) <= rooms.MOST_DELETIONS
        for subscription in self.room.subscriptions.values():
            assert len(subscription._meanwhile or ()) <= rooms.MOST_MEANWHILE

    def teardown(self) -> None:
        """Everything that is on its way gets there, and chat is asked as the gateway would."""
        while self.wire:
            self.pass_on(self.room.receive(self.wire.pop(0)))
        for client in list(self.room.subscriptions):
            self.chat_looks(client)
            self.welcome(client)
        if self.room.subscriptions:
            self.hear_of_the_head()
        while self.room.is_behind:
            if self.gap is None:
                self.chat_looks_for_the_gap()
            self.fill()
        for client in self.room.subscriptions:
            assert client.first + len(client.told) == len(self.database) + 1, "everything was told"
            self.check_deletions(client)

    def check_deletions(self, client: Client) -> None:
        unknown = [
            number
            for number, told in client.told.items()
            if told == "text" and self.database[number - 1] == "tombstone"
        ]
        assert rooms.AT_ONCE == FEW or self.deletions_lost.issuperset(unknown)


def test_everybody_is_told_everything_once_and_in_order() -> None:
    run_state_machine_as_test(Conversation, settings=EXAMPLES)


def test_so_it_is_when_more_comes_than_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rooms, "AT_ONCE", FEW)
    monkeypatch.setattr(rooms, "MOST_DELETIONS", FEW)
    monkeypatch.setattr(rooms, "MOST_MEANWHILE", FEW)
    run_state_machine_as_test(Conversation, settings=EXAMPLES)


# By example


def room_at(seq: int) -> Room[str]:
    room: Room[str] = Room()
    room.begin(seq)
    return room


def test_what_comes_before_a_room_has_begun_waits_for_it() -> None:
    room: Room[str] = Room()
    assert room.receive(Posted(4, "text")) == room.receive(Posted(6, "text")) == []
    assert not room.is_behind
    assert numbers(room.begin(3)) == [4]
    assert room.is_behind
    assert numbers(room.fill(posted(5), head=6)) == [5, 6]
    assert not room.is_behind


def test_what_comes_again_or_late_is_passed_on_once() -> None:
    room = room_at(3)
    assert numbers(room.receive(Posted(4, "text"))) == [4]
    assert room.receive(Posted(4, "text")) == room.receive(Posted(2, "text")) == []


def test_a_deletion_waits_for_its_message() -> None:
    room = room_at(3)
    assert room.receive(Deleted(5, "deleted")) == []
    assert room.receive(Posted(5, "text")) == []
    assert room.receive(Posted(4, "text")) == [*posted(4, 5), Deleted(5, "deleted")]
    assert room.receive(Deleted(1, "deleted")) == [Deleted(1, "deleted")]


def test_an_answer_that_took_longer_than_anothers_has_what_it_lacks_fetched_again() -> None:
    room: Room[str] = Room()
    quick, slow = Subscription(), Subscription()
    room.subscriptions = {"quick": quick, "slow": slow}
    assert quick.catch_up(6) == room.begin(6) == []
    assert not slow.takes(room.receive(Posted(7, "text"))[0])
    assert slow.catch_up(5) == []  # 7 has come, but 6 has not
    room.begin(slow.seq)
    assert (room.seq, room.is_behind) == (5, True)
    (six, seven) = room.fill(posted(6, 7), head=7)
    assert (quick.takes(six), slow.takes(six), slow.takes(seven)) == (False, True, True)


def test_an_answer_older_than_what_is_known_does_not_hide_it() -> None:
    room = room_at(3)
    room.expect(4)
    room.expect(6)  # while chat's answer is on its way, which knows of 4 only
    assert numbers(room.fill(posted(4), head=4)) == [4]
    assert room.is_behind


def test_numbers_that_are_lost_for_good_are_passed_over() -> None:
    """Chat's database was restored: what the room was told of is not there any more."""
    room = room_at(3)
    one = Subscription()
    one.catch_up(3)
    room.subscriptions = {"one": one}
    room.receive(Posted(9, "text"))
    (nine,) = room.fill([], head=3)
    assert nine == Posted(9, "text")
    assert one.takes(nine)
    assert not room.is_behind
    (ten,) = room.receive(Posted(10, "text"))
    assert one.takes(ten)


def test_a_head_that_does_not_exist_is_given_up() -> None:
    room = room_at(3)
    room.expect(9)
    assert room.fill([], head=3) == []
    assert (room.seq, room.is_behind) == (3, False)


def test_more_is_not_kept_than_the_bound_and_the_rest_is_fetched() -> None:
    room = room_at(0)
    beyond = rooms.MOST_DELETIONS + 10
    for number in range(2, beyond + 1):
        assert room.receive(Posted(number, "text")) == []
        room.receive(Deleted(number, "deleted"))
    assert (len(room._early), len(room._deletions)) == (rooms.AT_ONCE, rooms.MOST_DELETIONS)
    assert [each.seq for each in room.receive(Posted(1, "text")) if isinstance(each, Posted)][-1] == (
        rooms.AT_ONCE + 1
    )
    assert room.is_behind
    assert room.head == beyond


def test_who_was_told_too_much_while_its_history_is_fetched_has_lost_track() -> None:
    one = Subscription()
    for number in range(1, rooms.MOST_MEANWHILE + 1):
        assert not one.takes(Posted(number, "text"))
    assert not one.has_lost_track
    one.takes(Posted(rooms.MOST_MEANWHILE + 1, "text"))
    assert one.has_lost_track
