"""Trying events once: what becomes of each, and of all."""

from collections import Counter
from collections.abc import Awaitable

from shared.errors import ApplicationError, Unavailable, in_words
from shared.events.consumer import Outcome

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
    except ApplicationError as failure:
        return Outcome.PARKED, f"{WORDS[Outcome.PARKED]}: {in_words(failure)}"
    except Exception as bug:  # the service would have parked it, too
        return Outcome.PARKED, f"{WORDS[Outcome.PARKED]}: {type(bug).__name__}: {bug}"
    return outcome, WORDS[outcome]


def summary(outcomes: Counter[Outcome]) -> str:
    """How many there were, and what became of them."""
    counted = [
        f"{outcomes[each]} {word}"
        for each, word in WORDS.items()
        if outcomes[each] or each in (Outcome.APPLIED, Outcome.ALREADY)
    ]
    return f"{sum(outcomes.values())} events: {', '.join(counted)}"
