"""Whether a system has come to rest: every order is final, every event published, and all adds up."""

import time

from scripts.support.failures import SetupError
from scripts.support.invariants.check import check
from scripts.support.invariants.findings import Finding
from tests.e2e.system import System
from tests.waiting import until

REST_SECONDS = 90.0  # a lease, a call's patience and the pauses between attempts, on a busy machine


def wait_for_rest(system: System, seconds: float = REST_SECONDS) -> float:
    """The seconds that it took. AssertionError with what is wrong, if it still is after so long."""
    started = time.monotonic()
    until(lambda: not unrest(system), seconds, "all is at rest, and adds up", lambda: _in_lines(system))
    return time.monotonic() - started


def _in_lines(system: System) -> str:
    return "\n".join(unrest(system))


def unrest(system: System) -> list[str]:
    """What is not as it must be once nobody is at work, each with examples."""
    try:
        findings = check(system.environment, age=0, published=True)
    except SetupError as away:
        return [str(away)]
    return [in_words(each) for each in findings if not each.is_sound]


def in_words(finding: Finding) -> str:
    """In one line."""
    return (
        f"{finding.what}: not true of {finding.wrong} of {finding.looked_at}: {'; '.join(finding.examples)}"
    )
