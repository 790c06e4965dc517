"""How long a few requests take that are asked at a steady rate while something else goes on."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from bench.client import Client, Reply

PER_SECOND = 25  # of each target: many samples, and hardly any load
Replies = dict[str, list[Reply]]  # by target


def probe(origin: str, tokens: Mapping[str, str | None], seconds: float) -> Replies:
    """Asks for each target of `tokens`, with its token, on a connection of its own."""
    with ThreadPoolExecutor(len(tokens)) as threads:
        asked = {
            target: threads.submit(_ask_steadily, origin, target, token, seconds)
            for target, token in tokens.items()
        }
        return {target: each.result() for target, each in asked.items()}


def _ask_steadily(origin: str, target: str, token: str | None, seconds: float) -> list[Reply]:
    """A request that had to wait for the one before it has taken since it was due: nobody's wait is left out.

    Our own oversleeping is not the server's fault and does not count.
    """
    replies = []
    with Client(origin, token) as client:
        began = time.monotonic()
        for number in range(round(seconds * PER_SECOND)):
            wait = began + number / PER_SECOND - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            reply = client.get(target)
            replies.append(replace(reply, seconds=max(0.0, -wait) + reply.seconds))
    return replies
