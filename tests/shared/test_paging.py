from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.paging import Page, page_of

IDS = [UUID(int=number) for number in range(30)]


def same(identifier: UUID) -> UUID:
    return identifier


@pytest.mark.parametrize(
    ("found", "items", "following"),
    [
        (0, 0, None),
        (1, 1, None),
        (3, 3, None),
        (4, 3, IDS[2]),
    ],
    ids=["none", "fewer", "just as many", "one more"],
)
def test_a_page_goes_on_where_one_more_was_found(found: int, items: int, following: UUID | None) -> None:
    assert page_of(IDS[:found], 3, same) == Page(IDS[:items], following)


def test_what_follows_is_named_by_the_items_own_identifier() -> None:
    orders = [(UUID(int=7), "tea"), (UUID(int=8), "milk"), (UUID(int=9), "honey")]
    assert page_of(orders, 2, lambda order: order[0]) == Page(orders[:2], UUID(int=8))


@given(st.integers(0, len(IDS)), st.integers(1, 10))
def test_the_pages_hold_everything_once(count: int, limit: int) -> None:
    everything = IDS[:count]
    seen: list[UUID] = []
    start = 0
    while True:
        page = page_of(everything[start : start + limit + 1], limit, same)
        seen += page.items
        if page.next is None:
            break
        start = everything.index(page.next) + 1
    assert seen == everything
