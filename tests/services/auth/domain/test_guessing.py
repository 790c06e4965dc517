from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.auth.domain.guessing import (
    Count,
    GuessedAt,
    Outcome,
    Proof,
    account_subject,
    address_subject,
    lock_durations,
    network_of,
    user_subject,
)

SECOND = timedelta(seconds=1)
NOW = datetime(2025, 1, 1, tzinfo=UTC)
durations = st.timedeltas(min_value=timedelta(milliseconds=1), max_value=timedelta(days=11_000))


def test_locks_double_up_to_the_longest() -> None:
    seconds = [duration / SECOND for duration in lock_durations(SECOND, 900 * SECOND)]
    assert seconds == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]
    assert lock_durations(900 * SECOND, 900 * SECOND) == (900 * SECOND,)
    assert lock_durations(SECOND, 4 * SECOND) == (SECOND, 2 * SECOND, 4 * SECOND)


@given(durations, durations)
def test_every_lock_is_longer_than_the_one_before_and_at_most_twice_as_long(
    one: timedelta, other: timedelta
) -> None:
    first, longest = sorted((one, other))
    locks = lock_durations(first, longest)
    assert (locks[0], locks[-1]) == (first, longest)
    assert all(before < after <= 2 * before for before, after in pairwise(locks))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("::FFFF:cb00:7107", "203.0.113.7"),
        ("2001:db8:0:1::7", "2001:db8:0:1::/64"),
        ("2001:DB8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("fe80::7%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:", "unix:"),
        ("203.0.113.007", "203.0.113.007"),
    ],
)
def test_what_counts_as_one_address(address: str, network: str) -> None:
    assert network_of(address) == network


@given(st.integers(0, 2**128 - 1), st.integers(0, 2**64 - 1))
def test_who_has_a_network_gains_nothing_by_its_many_addresses(address: int, host: int) -> None:
    one = IPv6Address(address)
    neighbour = IPv6Address(address >> 64 << 64 | host)
    if one.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert network_of(str(one)) == network_of(str(neighbour))
        assert one in IPv6Network(network_of(str(one)))


@given(st.ip_addresses(v=4))
def test_ipv4_is_the_same_however_it_is_wrapped(address: IPv4Address) -> None:
    assert network_of(f"::ffff:{address}") == network_of(str(address)) == str(address)


@given(st.text())
def test_any_text_counts_as_some_network(text: str) -> None:
    assert network_of(network_of(text)) in {network_of(text), text}


def test_subjects_are_digests_of_what_matters() -> None:
    assert account_subject("ALICE@example.com") == account_subject("alice@example.com")
    assert address_subject("::ffff:203.0.113.7") == address_subject("203.0.113.7")
    subjects = {
        account_subject("alice@example.com"),
        address_subject("203.0.113.7"),
        user_subject(UUID(int=1), Proof.PASSWORD),
        user_subject(UUID(int=1), Proof.CODE),
    }
    assert {len(subject) for subject in subjects} == {32}
    assert len(subjects) == 4


@pytest.mark.parametrize(
    ("locked_until", "seconds"), [(None, 0), (NOW - SECOND, 0), (NOW, 0), (NOW + 3 * SECOND, 3)]
)
def test_a_count_says_how_long_the_next_attempts_have_to_wait(
    locked_until: datetime | None, seconds: int
) -> None:
    count = Count(GuessedAt.ACCOUNT, b"", Outcome.REFUSED, NOW, locked_until)
    assert count.locked_for == seconds * SECOND
