"""Whether and when a failed call is tried again. Pure: randomness and time are passed in.

Pauses double, and each is drawn from its whole range ("full jitter"), so that those who failed together do
not come back together.
"""

ATTEMPTS = 3  # a short hiccup, such as a callee's restart behind several addresses; more would only pile up
FIRST_PAUSE_SECONDS = 0.05


def pause_before(attempt: int, chance: float) -> float:
    """Seconds to wait before the `attempt`-th try, counted from 2; `chance` is from 0 to 1."""
    longest: float = FIRST_PAUSE_SECONDS * 2 ** (attempt - 2)
    return longest * chance


def may_try_again(attempt: int, pause: float, remaining: float, *, idempotent: bool) -> bool:
    """Whether the `attempt`-th failure of a call is to be followed by a pause and another try.

    Only what may happen twice is sent twice. A try that could not end in the `remaining` seconds is none.
    """
    return idempotent and attempt < ATTEMPTS and pause < remaining
