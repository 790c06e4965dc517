"""Addresses become targets, or are named."""

from collections.abc import Sequence

import pytest

from shared.config import ConfigError
from shared.rpc.targets import target_of


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
