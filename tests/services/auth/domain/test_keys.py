from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.auth.domain.keys import (
    NEVER,
    KeyState,
    KeyTimes,
    StoredKey,
    missing_from,
    retired_by_rotation,
    signing_key,
    succession,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TIMES = KeyTimes(ahead=6 * MINUTE, behind=timedelta(days=30))


def key(
    name: str = "k",
    signs_from: float = 0,
    signs_until: float | None = None,
    revoked_at: datetime | None = None,
) -> StoredKey:
    """A key whose times are minutes after START."""
    until = None if signs_until is None else START + signs_until * MINUTE
    published_until = None if until is None else until + TIMES.behind
    return StoredKey(name, "ES256", {}, b"", START + signs_from * MINUTE, until, published_until, revoked_at)


@pytest.mark.parametrize(
    ("each", "minutes", "state"),
    [
        (key(signs_from=1), 0, KeyState.ANNOUNCED),
        (key(), 0, KeyState.SIGNING),
        (key(signs_until=2), 1.99, KeyState.SIGNING),
        (key(signs_until=2), 2, KeyState.RETIRING),
        (key(signs_until=2), 2 + 30 * 24 * 60 - 0.01, KeyState.RETIRING),
        (key(signs_until=2), 2 + 30 * 24 * 60, KeyState.RETIRED),
        (key(signs_from=9, signs_until=2), 1, KeyState.SUPERSEDED),  # another was rotated in before it signed
        (key(signs_from=9, signs_until=2), 90_000, KeyState.SUPERSEDED),
        (key(signs_from=9, signs_until=2, revoked_at=START), 3, KeyState.REVOKED),
        (key(revoked_at=START), 0, KeyState.REVOKED),
        (key(signs_from=1, revoked_at=START), 0, KeyState.REVOKED),
    ],
)
def test_a_keys_life(each: StoredKey, minutes: float, state: KeyState) -> None:
    now = START + minutes * MINUTE
    assert each.state_at(now) is state
    assert each.signs_at(now) == (state is KeyState.SIGNING)


def test_the_newest_of_the_configured_algorithm_signs() -> None:
    keys = [key("old"), key("new", 1), replace(key("other", 2), algorithm="EdDSA"), key("next", 9)]
    assert _name(signing_key(keys, "ES256", START + 3 * MINUTE)) == "new"
    assert _name(signing_key(keys, "EdDSA", START + 3 * MINUTE)) == "other"
    assert _name(signing_key(keys, "RS256", START + 3 * MINUTE)) == "other"
    assert _name(signing_key(keys, "EdDSA", START)) == "old"
    assert signing_key(keys, "ES256", START - MINUTE) is None
    assert signing_key([key(revoked_at=START)], "ES256", START) is None


def test_the_missing_key_signs_when_all_know_it_but_leaves_no_gap() -> None:
    assert missing_from([], "ES256", START, TIMES) == START
    assert missing_from([key(signs_from=3)], "ES256", START, TIMES) == START
    assert missing_from([key()], "ES256", START, TIMES) is None
    assert missing_from([key()], "EdDSA", START, TIMES) == START + TIMES.ahead
    assert missing_from([key(signs_until=7)], "ES256", START, TIMES) is None
    assert missing_from([key(signs_until=5)], "ES256", START, TIMES) == START + 5 * MINUTE


def test_a_rotation_retires_all_that_could_sign_beside_the_new_key() -> None:
    """Of whatever algorithm, announced ones included; not what has stopped before, or is revoked."""
    other = replace(key("other"), algorithm="RS256")
    keys = [
        key("a"),
        other,
        key("announced", 3),
        key("retiring", signs_until=2),
        key("gone", revoked_at=START),
    ]
    moment = START + TIMES.ahead
    retired = retired_by_rotation(keys, moment, TIMES)
    assert [each.key_id for each in retired] == ["a", "other", "announced"]
    assert {each.signs_until for each in retired} == {moment}
    assert {each.published_until for each in retired} == {moment + TIMES.behind}


def test_a_key_that_gives_way_before_it_signs_is_not_published_for_tokens_that_it_never_signed() -> None:
    keys = [key("signs"), key("announced", 6)]
    signed, announced = retired_by_rotation(keys, START + MINUTE, TIMES)
    assert signed.published_until == START + MINUTE + TIMES.behind
    assert (announced.signs_until, announced.published_until) == (START + MINUTE, START + MINUTE)
    assert announced.state_at(START + MINUTE) is KeyState.SUPERSEDED


# What follows when a key is revoked


def revoked(keys: Sequence[StoredKey], name: str) -> tuple[dict[str, StoredKey], datetime | None]:
    """Which others change, and from when on a new one signs."""
    gone = next(each for each in keys if each.key_id == name)
    follows = succession(keys, gone, START, TIMES)
    assert follows.changed[0] == replace(gone, revoked_at=START)
    return {each.key_id: each for each in follows.changed[1:]}, follows.new_from


def test_the_only_key_is_replaced_at_once() -> None:
    assert revoked([key("a")], "a") == ({}, START)
    assert revoked([key("a"), key("retiring", -9, -1), key("b", revoked_at=START)], "a") == ({}, START)


def test_another_that_may_sign_takes_over() -> None:
    assert revoked([key("a"), key("b", 1), key("able", -5)], "a") == ({}, None)


def test_an_announced_key_takes_over_at_once() -> None:
    keys = [key("a", signs_until=6), key("b", 6, 7), key("c", 7)]
    assert revoked(keys, "a") == ({"b": replace(keys[1], signs_from=START)}, None)


def test_a_key_that_gave_way_before_its_time_takes_nothing_over() -> None:
    assert revoked([key("a", -1), key("gave way", 5, -1)], "a") == ({}, START)


def test_without_the_announced_key_the_old_one_goes_on_until_another_is_known() -> None:
    goes_on = key("a").retired_at(START + TIMES.ahead, TIMES)
    assert revoked([key("a", signs_until=2), key("b", 2)], "b") == ({"a": goes_on}, START + TIMES.ahead)
    goes_on = key("a").retired_at(START + 8 * MINUTE, TIMES)
    assert revoked([key("a", signs_until=2), key("b", 2, 8), key("c", 8)], "b") == ({"a": goes_on}, None)


def test_keys_that_sign_no_more_leave_nothing_to_do() -> None:
    keys = [key("a"), key("retiring", -9, -1), key("retired", -90_000, -80_000)]
    assert revoked(keys, "retiring") == ({}, None)
    assert revoked(keys, "retired") == ({}, None)


# All of it together, in any order


@dataclass
class Operator:
    """Does whatever can be done to keys; two auth servers help, which are set to different algorithms."""

    now: datetime = START
    keys: dict[str, StoredKey] = field(default_factory=dict)
    made_at: dict[str, datetime] = field(default_factory=dict)
    in_haste: set[str] = field(default_factory=set)
    signed_until: dict[str, datetime] = field(default_factory=dict)  # of those that had the time to
    names: "count[int]" = field(default_factory=count)

    def wait(self, minutes: float) -> None:
        start, self.now = self.now, self.now + minutes * MINUTE
        for each in self.keys.values():
            end = min(each.signs_until_at_last, self.now)
            if each.revoked_at is None and max(each.signs_from, start) < end:
                self.signed_until[each.key_id] = end

    def serve(self, algorithm: str) -> bool:
        """What every auth server does several times a second; whether it has made a key."""
        signs_from = missing_from(list(self.keys.values()), algorithm, self.now, TIMES)
        if signs_from is not None:
            self._add(algorithm, signs_from)
        return signs_from is not None

    def rotate(self, at_once: bool) -> None:
        signs_from = self.now if at_once else self.now + TIMES.ahead
        for each in retired_by_rotation(self.keys.values(), signs_from, TIMES):
            self.keys[each.key_id] = each
        self._add("ES256", signs_from, in_haste=at_once)

    def revoke(self, number: int) -> None:
        gone = list(self.keys.values())[number % len(self.keys)]
        if gone.revoked_at is not None:
            return
        follows = succession(list(self.keys.values()), gone, self.now, TIMES)
        for each in follows.changed:
            if each.signs_from != self.keys[each.key_id].signs_from:
                self.in_haste.add(each.key_id)
            self.keys[each.key_id] = each
        if follows.new_from is not None:
            self._add("ES256", follows.new_from, in_haste=follows.new_from == self.now)

    def check(self) -> None:
        """What must hold whatever was done."""
        living = [each for each in self.keys.values() if each.revoked_at is None]
        moments = {self.now, *(each.signs_until for each in living if each.signs_until), NEVER - MINUTE}
        for moment in moments:
            assert moment < self.now or any(each.signs_at(moment) for each in living), moment
        for each in living:
            assert (each.signs_until is None) == (each.published_until is None)
            if each.signs_until is not None and each.published_until is not None:
                behind = TIMES.behind if each.ever_signs else timedelta(0)
                assert each.published_until - each.signs_until == behind
            if each.key_id in self.signed_until:
                assert (each.published_until or NEVER) >= self.signed_until[each.key_id] + TIMES.behind
            if each.key_id not in self.in_haste:
                assert each.signs_from - self.made_at[each.key_id] >= TIMES.ahead

    def _add(self, algorithm: str, signs_from: datetime, *, in_haste: bool = False) -> None:
        name = str(next(self.names))
        self.keys[name] = replace(key(name), algorithm=algorithm, signs_from=signs_from)
        self.made_at[name] = self.now
        if in_haste or not self.keys:
            self.in_haste.add(name)


steps = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.5, 2, 5.5, 6, 7, 50_000])),
    st.tuples(st.just("serve"), st.sampled_from(["ES256", "EdDSA"])),
    st.tuples(st.just("rotate"), st.booleans()),
    st.tuples(st.just("revoke"), st.integers(0, 4)),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(steps, max_size=20))
def test_whatever_is_done_there_is_always_a_key_that_signs(done: list[tuple[str, object]]) -> None:
    operator = Operator()
    operator.serve("ES256")
    operator.in_haste.add("0")
    for name, argument in done:
        getattr(operator, name)(argument)
        operator.check()


@given(st.lists(steps, max_size=20))
def test_servers_with_different_algorithms_soon_make_no_more_keys(done: list[tuple[str, object]]) -> None:
    operator = Operator()
    for name, argument in [("serve", "ES256"), *done]:
        getattr(operator, name)(argument)
    made = [operator.serve(algorithm) for _ in range(3) for algorithm in ("ES256", "EdDSA")]
    assert sum(made) <= 2
    assert not any(made[2:])


def _name(found: StoredKey | None) -> str:
    assert found is not None
    return found.key_id
