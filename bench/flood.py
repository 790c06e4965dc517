"""Logins as fast as they are answered, by many clients."""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle, islice

from bench.client import OK, Client, Reply, log_in
from bench.whole_system import Account


@dataclass(frozen=True, slots=True)
class FloodPlan:
    """For `seconds`, each client logs in again as soon as it is answered; a patient one heeds Retry-After."""

    clients: int
    seconds: float
    patient: bool


@dataclass(frozen=True, slots=True)
class Flood:
    """What came of it. `seconds` reach to the last answer: none is left behind in a queue."""

    replies: list[Reply]
    seconds: float


def flood(origin: str, accounts: Sequence[Account], plan: FloodPlan) -> Flood:
    """Carries out `plan`, the clients taking the accounts in turns."""
    began = time.monotonic()
    ends = began + plan.seconds
    with ThreadPoolExecutor(plan.clients) as threads:
        turns = islice(cycle(accounts), plan.clients)
        each = threads.map(lambda account: _keep_logging_in(origin, account, ends, plan.patient), turns)
        replies = [reply for some in each for reply in some]
    return Flood(replies, time.monotonic() - began)


def _keep_logging_in(origin: str, account: Account, ends: float, patient: bool) -> list[Reply]:
    replies = []
    with Client(origin) as client:
        while time.monotonic() < ends:
            replies.append(log_in(client, account.email, account.password))
            if patient and replies[-1].status != OK:
                client.close()  # the server would not keep it for so long
                time.sleep(max(0.0, min(replies[-1].retry_after, ends - time.monotonic())))
    return replies
