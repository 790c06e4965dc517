"""Lists in pages, by keyset: a page deep down costs no more than the first one (pure)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items, and after which one the next page goes on; None on the last page."""

    items: Sequence[T]
    next: UUID | None


def page_of(found: Sequence[T], limit: int, identifier: Callable[[T], UUID]) -> Page[T]:
    """A page of `limit` items out of `found`, for which one more was looked for."""
    items = found[:limit]
    return Page(items, identifier(items[-1]) if len(found) > limit else None)
