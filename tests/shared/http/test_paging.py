"""Cursors: what a page names as next is what the next query goes on after; anything else is refused."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.paging import PageQuery, cursor_fault, page_document


@given(st.uuids())
def test_a_cursor_leads_back_to_the_last_item(last: UUID) -> None:
    document = page_document(["a", "b"], last)
    assert document["items"] == ["a", "b"]
    assert cursor_fault(document["next"]) is None
    assert PageQuery(cursor=document["next"]).after == last


def test_the_last_page_has_no_cursor_and_the_first_needs_none() -> None:
    assert page_document(iter("ab"), None) == {"items": ["a", "b"], "next": None}
    assert cursor_fault("") is None
    assert PageQuery().after is None


@pytest.mark.parametrize("cursor", ["x", "A" * 21, "A" * 23, "A" * 21 + "B", "€", "A" * 22 + "=="])
def test_what_we_have_not_made_is_no_cursor(cursor: str) -> None:
    assert cursor_fault(cursor)


@given(st.text())
def test_no_text_upsets_the_rule(text: str) -> None:
    assert cursor_fault(text) is not None or text == "" or len(text) == 22
