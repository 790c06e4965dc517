"""Copies of another service's data, compared with all that its owner has, and put right."""

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What a rebuild has found: how many things its owner has, and of how many our copy was not the same."""

    seen: int
    changed: int


async def rebuild_from(snapshot: AsyncIterable[T], keep: Callable[[T], Awaitable[bool]]) -> Rebuilt:
    """Let `keep` have each of `snapshot`; it says whether that changed anything.

    Safe while events go on, if `keep` leaves alone what is newer: whichever of snapshot and event comes
    second, the newer one stays. Raises what both raise; what has been kept by then stays so.
    """
    seen = changed = 0
    async for each in snapshot:
        seen += 1
        changed += await keep(each)
    return Rebuilt(seen, changed)
