"""Targets, pauses, fields: what is decided before anything is sent."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import ConfigError
from shared.errors import Invalid
from shared.rpc.backoff import ATTEMPTS, may_try_again, pause_before
from shared.rpc.decoding import read_id, read_ids
from shared.rpc.targets import target_of

ID = "018cc251-f400-7000-8000-000000000001"


@pytest.mark.parametrize(
    ("addresses", "target"),
    [
        (["127.0.0.1:8025"], "ipv4:127.0.0.1:8025"),
        (["127.0.0.1:8025", "127.0.0.1:8125"], "ipv4:127.0.0.1:8025,127.0.0.1:8125"),
        (["[::1]:8025"], "ipv6:[::1]:8025"),
        (["product.internal:8025"], "dns:///product.internal:8025"),
    ],
)
def test_targets(addresses: Sequence[str], target: str) -> None:
    assert target_of(addresses, "PRODUCT_RPC_ADDRESSES") == target


@pytest.mark.parametrize("addresses", [["a:1", "b:1"], ["127.0.0.1:1", "b:1"], ["127.0.0.1:1", "[::1]:1"]])
def test_what_grpc_has_no_target_for_is_named(addresses: Sequence[str]) -> None:
    with pytest.raises(ConfigError, match="PRODUCT_RPC_ADDRESSES"):
        target_of(addresses, "PRODUCT_RPC_ADDRESSES")


@given(st.integers(2, ATTEMPTS), st.floats(0, 1))
def test_pauses_double_and_are_drawn_from_their_whole_range(attempt: int, chance: float) -> None:
    assert 0 <= pause_before(attempt, chance) <= 0.05 * 2 ** (attempt - 2)


def test_what_may_not_happen_twice_is_sent_once() -> None:
    assert may_try_again(1, 0.05, 1.0, idempotent=True)
    assert not may_try_again(1, 0.05, 1.0, idempotent=False)


def test_there_is_an_end_to_trying() -> None:
    assert not may_try_again(ATTEMPTS, 0.05, 1.0, idempotent=True)
    assert not may_try_again(1, 0.05, 0.04, idempotent=True)


def test_identifiers() -> None:
    assert read_id("order_id", ID) == UUID(ID)
    assert read_ids("product_ids", [ID, ID]) == [UUID(ID), UUID(ID)]
    assert read_ids("product_ids", []) == []


def test_every_bad_identifier_is_named() -> None:
    with pytest.raises(Invalid) as one:
        read_id("order_id", "7")
    assert [each.field for each in one.value.fields] == ["order_id"]
    with pytest.raises(Invalid) as several:
        read_ids("product_ids", ["7", ID, ""])
    assert [each.field for each in several.value.fields] == ["product_ids[0]", "product_ids[2]"]
    with pytest.raises(Invalid) as many:
        read_ids("product_ids", [ID] * 101)
    assert [each.field for each in many.value.fields] == ["product_ids"]
