import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.auth.revocation_list import Kind, Revocation, RevocationList
from tests.shared.auth.sample_claims import claims


def listed(*revocations: Revocation) -> RevocationList:
    result = RevocationList()
    for revocation in revocations:
        result.add(revocation)
    return result


@pytest.mark.parametrize(("kind", "name"), [(Kind.SESSION, "s"), (Kind.TOKEN, "t"), (Kind.KEY, "k")])
def test_session_token_and_key_are_refused_by_name(kind: Kind, name: str) -> None:
    assert listed(Revocation(kind, name, 1)).refuses(claims())
    assert not listed(Revocation(kind, "other", 1)).refuses(claims())
    assert not listed(*(Revocation(other, name, 1) for other in Kind if other is not kind)).refuses(claims())


@pytest.mark.parametrize(("cut_off", "refused"), [(100_499, False), (100_500, True), (100_501, True)])
def test_a_users_tokens_are_refused_up_to_the_cut_off(cut_off: int, refused: bool) -> None:
    assert listed(Revocation(Kind.USER, "u", cut_off)).refuses(claims()) is refused


@given(st.integers(1_600_000_000_000, 1_900_000_000_000))
def test_milliseconds_survive_the_claim(issued_ms: int) -> None:
    """`iat` is a JSON number of seconds: at the cut-off it is refused, one millisecond later it is not."""
    token = claims(issued_at=issued_ms / 1000)
    assert listed(Revocation(Kind.USER, "u", issued_ms)).refuses(token)
    assert not listed(Revocation(Kind.USER, "u", issued_ms - 1)).refuses(token)


def test_adding_tells_whether_it_was_known() -> None:
    entries = RevocationList()
    assert entries.add(Revocation(Kind.SESSION, "s", 100))
    assert not entries.add(Revocation(Kind.SESSION, "s", 200)), "it ended once"
    assert entries.add(Revocation(Kind.USER, "u", 100))
    assert not entries.add(Revocation(Kind.USER, "u", 100, 900))
    assert not entries.add(Revocation(Kind.USER, "u", 50))
    assert entries.add(Revocation(Kind.USER, "u", 101)), "more tokens are refused than before"


def test_an_earlier_cut_off_or_expiry_weakens_nothing() -> None:
    strict = listed(Revocation(Kind.USER, "u", 200_000, 900_000), Revocation(Kind.USER, "u", 50, 60))
    strict.drop_expired(100_000)
    assert strict.refuses(claims())


def test_entries_leave_by_their_own_expiry() -> None:
    entries = listed(Revocation(Kind.SESSION, "s", 1, 1000), Revocation(Kind.TOKEN, "x", 1, 2000))
    entries.drop_expired(999)
    assert entries.refuses(claims())
    entries.drop_expired(1000)
    assert not entries.refuses(claims())
    assert len(entries) == 1


def test_a_prolonged_entry_stays() -> None:
    entries = listed(Revocation(Kind.SESSION, "s", 1, 1000), Revocation(Kind.SESSION, "s", 1, 3000))
    entries.drop_expired(2000)
    assert entries.refuses(claims())
    entries.drop_expired(3000)
    assert len(entries) == 0


def test_what_the_store_holds_is_read_back() -> None:
    revocation = Revocation(Kind.USER, "u:1", 7, 9.0)
    assert Revocation.from_entry(revocation.key, "7", 9.0) == revocation
    assert Revocation.from_entry("revoked:planet:x", "1", 9.0) is None
    assert Revocation.from_entry("revoked:sid:", "1", 9.0) is None


@pytest.mark.parametrize("value", ["", "x", "-1", "1e3", "٣", "9" * 40])
def test_a_value_that_is_no_time_refuses_for_ever(value: str) -> None:
    entry = Revocation.from_entry("revoked:user:u", value, math.inf)
    assert entry is not None
    assert listed(entry).refuses(claims(issued_at=4e9))
