"""Fields of messages: what they should be, or named."""

from uuid import UUID

import pytest

from shared.errors import Invalid
from shared.rpc.decoding import read_id, read_ids

ID = "018cc251-f400-7000-8000-000000000001"


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
