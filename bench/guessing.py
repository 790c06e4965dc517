"""Does the time of a refused login tell whether there is such an account?

One client guesses, one guess after another, at accounts of several kinds in random order, each address as
often as any other. Each kind is compared with addresses that nobody has: when a random guess at the one takes
longer than a random guess at the other as often as not, the time tells nothing.
"""

import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

from bench.client import Client, Reply, log_in
from bench.distributions import exceedance, quantile
from bench.table import milliseconds, table
from bench.whole_system import NO_LOCKOUT, UNLIMITED, random_email, sign_up, whole_system
from shared.config import Environment
from tests.e2e.system import SMALLEST, System

ACCOUNTS = 20  # of each kind, where there are so many tries
CHEAPER = 2  # by how much the cost of old hashes is lower
LOWEST_COST, DEFAULT_COST = 4, 12
ASKED = (*SMALLEST, "auth", "gateway")
UNKNOWN = "unknown"
WRONG = "not the password of anybody"
LOCKED = 429
# Guessed at three times, an account answers 429 for longer than this takes.
LOCKOUT = {
    "LOGIN_FREE_FAILURES_ACCOUNT": "2",
    "LOGIN_FREE_FAILURES_ADDRESS": UNLIMITED,
    "LOGIN_LOCK_SECONDS": "900",
}
MOST_FAILURES = 5

Emails = Mapping[str, Sequence[str]]  # kind of account → addresses


@dataclass(slots=True)
class Guesses:
    """What came of guessing at one kind of account."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def add(self, reply: Reply) -> None:
        """One more."""
        self.seconds.append(reply.seconds)
        self.statuses[reply.status] += 1


def measure_guessing(tries: int, environment: Environment) -> int:
    """Prints how alike the kinds are, by `tries` guesses at each; exit status."""
    cost = environment.integer("BCRYPT_COST", DEFAULT_COST, minimum=LOWEST_COST + CHEAPER, maximum=16)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        count = min(ACCOUNTS, tries)
        old = _accounts_of_cost(home, cost - CHEAPER, count)
        refused = _measure_refusals(home, cost, old, tries)
        locked = _measure_lockout(home, cost, count, tries)
    print(f"{tries} guesses at each kind of account, {count} accounts each, BCRYPT_COST {cost}\n")
    print("Refused, as the password is wrong:\n")
    _print(refused)
    print("\nRefused, as too much has been guessed:\n")
    _print(locked)
    return 0


def _accounts_of_cost(home: Path, cost: int, count: int) -> list[str]:
    with whole_system(home, {"BCRYPT_COST": str(cost)}, ASKED) as system:
        return _known(system, count)


def _measure_refusals(home: Path, cost: int, old: list[str], tries: int) -> dict[str, Guesses]:
    with whole_system(home, {**NO_LOCKOUT, "BCRYPT_COST": str(cost)}, ASKED) as system:
        emails = {
            UNKNOWN: _unknown(len(old)),
            "known": _known(system, len(old)),
            f"known, hash of cost {cost - CHEAPER}": old,
            "known, locked by the operator": _locked_by_the_operator(system, len(old)),
        }
        return _guess(system.url(), emails, tries)


def _measure_lockout(home: Path, cost: int, count: int, tries: int) -> dict[str, Guesses]:
    with whole_system(home, {**LOCKOUT, "BCRYPT_COST": str(cost)}, ASKED) as system:
        emails = {UNKNOWN: _unknown(count), "known": _known(system, count)}
        with Client(system.url()) as client:
            for email in (*emails[UNKNOWN], *emails["known"]):
                _guess_until_locked(client, email)
        return _guess(system.url(), emails, tries)


def _guess(origin: str, emails: Emails, tries: int) -> dict[str, Guesses]:
    guesses = {kind: Guesses() for kind in emails}
    with Client(origin) as client:
        for each in emails.values():
            log_in(client, each[0], WRONG)  # warm up
        for kind, email in turns(emails, tries, random.SystemRandom()):
            guesses[kind].add(log_in(client, email, WRONG))
    return guesses


def turns(emails: Emails, tries: int, choose: random.Random) -> list[tuple[str, str]]:
    """`tries` of each kind, evenly spread over its addresses, in an order that `choose` decides."""
    planned = [(kind, email) for kind, each in emails.items() for email in islice(cycle(each), tries)]
    choose.shuffle(planned)
    return planned


# Accounts


def _known(system: System, count: int) -> list[str]:
    return [account.email for account in sign_up(system, count)]


def _unknown(count: int) -> list[str]:
    return [random_email() for _ in range(count)]


def _locked_by_the_operator(system: System, count: int) -> list[str]:
    emails = _known(system, count)
    for email in emails:
        locked = system.run("./scripts/admin", "users", "lock", email)
        if locked.returncode != 0:
            raise RuntimeError(locked.stderr)
    return emails


def _guess_until_locked(client: Client, email: str) -> None:
    for _ in range(MOST_FAILURES):
        if log_in(client, email, WRONG).status == LOCKED:
            return
    raise RuntimeError(f"{MOST_FAILURES} wrong guesses do not lock an account")


# What is printed


def _print(guesses: Mapping[str, Guesses]) -> None:
    heads = [
        "account",
        "answers",
        "lower quartile ms",
        "median ms",
        "upper quartile ms",
        "takes longer than unknown",
    ]
    print(table(heads, (_row(kind, each, guesses[UNKNOWN]) for kind, each in guesses.items())))
    print()
    for kind in guesses:
        if kind != UNKNOWN:
            print(f"{kind}: {verdict(guesses[kind], guesses[UNKNOWN])}")


def _row(kind: str, guesses: Guesses, unknown: Guesses) -> list[str]:
    quartiles = [milliseconds(quantile(guesses.seconds, share)) for share in (0.25, 0.5, 0.75)]
    chance = exceedance(guesses.seconds, unknown.seconds)
    longer = "" if guesses is unknown else f"{chance.probability:.3f} ± {chance.standard_error:.3f}"
    answers = ", ".join(f"{count} of {status}" for status, count in sorted(guesses.statuses.items()))
    return [kind, answers, *quartiles, longer]


def verdict(guesses: Guesses, unknown: Guesses) -> str:
    """Whether one who guesses can tell the two apart."""
    if guesses.statuses.keys() != unknown.statuses.keys():
        return "the answers differ"
    tells = exceedance(guesses.seconds, unknown.seconds).tells
    return f"the two distributions {'differ' if tells else 'overlap'}"
