"""Lists in pages: `?limit=…&cursor=…` → `{"items": […], "next": "cursor or null"}`.

A cursor is the identifier of the last item seen; that it is one is nobody's business but ours.
"""

from collections.abc import Iterable
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

from shared import base64url


class PageQuery(Struct):
    """What every list takes; `cursor` must obey `cursor_fault`."""

    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    cursor: str = ""

    @property
    def after(self) -> UUID | None:
        """The last item seen; None for the first page."""
        return _from_cursor(self.cursor)


def page_document(items: Iterable[Any], following: UUID | None) -> dict[str, Any]:
    """A page; `following` is its last item when another page goes on after it."""
    cursor = None if following is None else base64url.encode(following.bytes)
    return {"items": list(items), "next": cursor}


def cursor_fault(cursor: str) -> str | None:
    """Says what is wrong with a cursor, or None."""
    try:
        _from_cursor(cursor)
    except ValueError:
        return "Is not a cursor of this list"
    return None


def _from_cursor(cursor: str) -> UUID | None:
    return UUID(bytes=base64url.decode(cursor)) if cursor else None
