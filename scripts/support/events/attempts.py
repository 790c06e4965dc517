"""Trying events once: what becomes of each, and of all."""

from collections import Counter
from collections.abc import Awaitable

from shared.errors import Unavailable
from shared.events.consumer import Outcome, reason_of

WORDS = {
    Outcome.APPLIED: "new",
    Outcome.ALREADY: "had happened already",
    Outcome.IGNORED: "no concern of this service",
    Outcome.PARKED: "cannot be taken in",
}


async def attempt(taking: Awaitable[Outcome]) -> tuple[Outcome, str]:
    """What becomes of an event that is being taken in, and in words. Raises Unavailable."""
    try:
        outcome = await taking
    except Unavailable:
        raise
    except Exception as failure:  # the service would have parked it, too
        return Outcome.PARKED, f"{WORDS[Outcome.PARKED]}: {reason_of(failure)}"
    return outcome, WORDS[outcome]


def summary(outcomes: Counter[Outcome]) -> str:
    """What became of them, counted."""
    counted = [
        f"{outcomes[each]} {word}"
        for each, word in WORDS.items()
        if outcomes[each] or each in (Outcome.APPLIED, Outcome.ALREADY)
    ]
    return ", ".join(counted)
