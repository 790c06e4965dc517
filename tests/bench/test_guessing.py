import random
from collections import Counter

import pytest

from bench.client import Reply
from bench.guessing import Guesses, turns, verdict


def guesses(status: int, *seconds: float) -> Guesses:
    made = Guesses()
    for each in seconds:
        made.add(Reply(status, each, 0, b""))
    return made


def test_every_address_gets_its_share_in_mixed_order() -> None:
    planned = turns({"known": ["a", "b"], "unknown": ["c", "d"]}, 100, random.Random(1))
    assert Counter(email for _, email in planned) == dict.fromkeys("abcd", 50)
    assert {kind for kind, email in planned if email in "ab"} == {"known"}
    middle = Counter(kind for kind, _ in planned[:100])
    assert min(middle.values()) > 25, "neither kind comes first"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (guesses(401, *range(100)), "the two distributions overlap"),
        (guesses(401, *range(90, 190)), "the two distributions differ"),
        (guesses(403, *range(100)), "the answers differ"),
    ],
)
def test_the_verdict(known: Guesses, said: str) -> None:
    assert verdict(known, guesses(401, *range(100))) == said
