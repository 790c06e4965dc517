"""Who asks, as every caller says it: ours, and one that goes by what protos/README.md tells."""

import re
import time
from typing import Any

from shared.auth.identity import IdentitySigner, IdentityVerifier, signed_by
from shared.config import CHECKOUT, Secret
from shared.context import Principal, Trace
from shared.rpc.metadata import call_metadata, read_metadata, verify

KEY = Secret("k7:" + "A" * 43 + ",k6:" + "AQEB" * 10 + "AQE")
PATH = "/shop.product.v1.ProductService/GetProducts"
ALICE = Principal("018cc251-f400-7000-8000-0000000000a1", roles=frozenset({"customer", "admin"}))
TRACE = Trace("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_what_our_own_callers_say_is_believed() -> None:
    metadata = call_metadata(IdentitySigner("order", "product", KEY), PATH, "req-1", TRACE, ALICE, now_ms())
    headers = read_metadata(metadata)
    assert verify(IdentityVerifier("product", {"order": KEY}), PATH, headers, now_ms()) == ALICE
    assert (headers["x-request-id"], headers["traceparent"]) == ("req-1", TRACE.traceparent)
    assert signed_by(headers) == "order"


def test_binary_metadata_says_nothing() -> None:
    assert read_metadata([("a", "text"), ("b-bin", b"octets")]) == {"a": "text"}


def test_what_the_readme_of_the_contracts_tells_is_right() -> None:
    """The function there is what somebody without our code goes by."""
    readme = (CHECKOUT / "protos/README.md").read_text()
    (code,) = (
        block for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if "def signed" in block
    )
    names: dict[str, Any] = {}
    exec(code, names)
    for user_id, roles in ((ALICE.user_id, ALICE.roles), ("", ())):
        headers = read_metadata(names["signed"]("operator", "product", KEY.value, PATH, user_id, roles))
        seen = verify(IdentityVerifier("product", {"operator": KEY}), PATH, headers, now_ms())
        assert (seen.user_id, seen.roles) == (user_id, frozenset(roles))
