"""What is reported of a room's users, what of it is announced, and when a room is looked at."""

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.ws_gateway.domain.presence import Agenda, Change, Report, Room, Sight, difference

BOUND = 3
USERS = st.sampled_from("abcdef")
SETS = st.frozensets(USERS)


class Listener:
    """A client in the room, who knows nothing but what is announced."""

    def __init__(self) -> None:
        self.users: set[str] = set()

    def hear(self, change: Change) -> None:
        assert not self.users & set(change.joined)
        assert set(change.left) <= self.users
        self.users = self.users - set(change.left) | set(change.joined)


def told(room: Room, *, added: int = 0) -> Report:
    """What `room` reports; the store takes it."""
    report = room.report()
    room.confirmed(report, Sight(frozenset(), 15.0, added))
    return report


# What is announced


def test_a_difference_names_who_joined_and_who_left_in_order() -> None:
    assert difference(frozenset("xa"), frozenset("xcb")) == Change(("b", "c"), ("a",))
    assert difference(frozenset("x"), frozenset("x")) is None


@given(st.lists(SETS))
def test_whoever_hears_all_announcements_knows_who_is_there(sights: list[frozenset[str]]) -> None:
    room, listener = Room("r", BOUND), Listener()
    for users in sights:
        if room.announced is None:
            listener = Listener()  # presence begins anew
        before = room.announced
        change = room.announce(users)
        assert change is None or len(users) <= BOUND
        assert change != Change((), ())
        assert change is None or users != before
        if change:
            listener.hear(change)
        if len(users) <= BOUND:
            assert listener.users == users == room.announced
        else:
            assert room.announced is None


def test_above_the_bound_nothing_is_announced_and_below_it_again_everybody() -> None:
    room = Room("r", BOUND)
    assert room.announced is None
    assert room.announce(frozenset("abc")) == Change(("a", "b", "c"), ())
    assert room.announce(frozenset("abcd")) is None
    assert room.announced is None
    assert room.announce(frozenset("bcd")) == Change(("b", "c", "d"), ())


# What is reported


@given(st.lists(st.tuples(st.booleans(), USERS, st.booleans())))
def test_the_store_holds_each_user_who_has_a_connection_once(steps: list[tuple[bool, str, bool]]) -> None:
    room, connections, held = Room("r", members_at_most=6), Counter[str](), set[str]()
    for comes, user, report_now in steps:
        if comes:
            assert room.entered(user) == (connections[user] == 0)
            connections[user] += 1
        else:
            assert room.left(user) == (connections[user] == 1)
            connections[user] = max(0, connections[user] - 1)
        if report_now:
            report = told(room)
            assert len(set(report.here)) == len(report.here)
            assert set(report.gone) <= held
            held = held - set(report.gone) | set(report.here)
            assert held == {each for each, count in connections.items() if count}
        assert room.is_over == (not held and not connections.total())


def test_no_more_are_reported_than_show_that_presence_is_off() -> None:
    room = Room("r", BOUND)
    for user in "abcdefg":
        room.entered(user)
    assert told(room).here == ("a", "b", "c", "d")
    room.left("b")
    assert told(room) == Report("r", ("a", "c", "d", "e"), ("b",))
    room.left("g")
    assert told(room) == Report("r", ("a", "c", "d", "e"), ())


def test_what_the_store_did_not_take_is_reported_again() -> None:
    room = Room("r")
    room.entered("a")
    assert room.report() == room.report() == Report("r", ("a",), ())
    told(room)
    room.left("a")
    assert room.report() == room.report() == Report("r", (), ("a",))
    assert not room.is_over
    told(room)
    assert room.is_over


def test_a_store_that_has_lost_what_it_was_told_is_noticed() -> None:
    room = Room("r")
    room.entered("a")
    assert room.confirmed(room.report(), Sight(frozenset("a"), 15.0, added=1))
    assert room.confirmed(room.report(), Sight(frozenset("a"), 15.0, added=0))
    room.entered("b")
    assert not room.confirmed(room.report(), Sight(frozenset("ab"), 15.0, added=2))


def test_a_farewell_gives_up_users_who_are_still_connected() -> None:
    room = Room("r")
    room.entered("a")
    told(room)
    assert room.farewell() == Report("r", (), ("a",))


# When a room is looked at


def test_a_room_is_looked_at_at_once_then_at_its_pace_then_now_and_again() -> None:
    agenda = Agenda(pace_seconds=1, renew_seconds=5)
    assert agenda.next() == math.inf
    agenda.ask("r", 100.0)
    assert agenda.take(100.0, 9) == ["r"]
    agenda.ask("r", 100.2)
    agenda.ask("r", 100.4)
    assert agenda.take(100.9, 9) == []
    assert agenda.next() == 101.0
    assert agenda.take(101.0, 9) == ["r"]
    assert agenda.next() == 106.0


def test_no_more_rooms_are_taken_than_asked_for_and_the_others_come_next() -> None:
    agenda = Agenda(pace_seconds=1, renew_seconds=5)
    for moment, room in enumerate("abc"):
        agenda.ask(room, moment)
    assert agenda.take(10, 2) == ["a", "b"]
    assert agenda.take(10, 2) == ["c"]


def test_a_forgotten_room_is_not_looked_at() -> None:
    agenda = Agenda(pace_seconds=1, renew_seconds=5)
    agenda.ask("r", 1)
    agenda.forget("r")
    assert agenda.take(10, 9) == []
    assert agenda.next() == math.inf
