"""Trouble that lasts is logged when it changes, not each time that somebody meets it."""

import logging
import time
from collections.abc import Callable

QUIET_SECONDS = 5.0  # two log lines in so long a time are no flood


class Trouble:
    """What keeps one thing from working. `reason` is empty while nothing does."""

    def __init__(self, log: logging.Logger, message: str, over: str, *, reason: str = "") -> None:
        """`message` is logged with each new reason, `over` when there is none any more.

        `reason` is what is wrong to begin with; that goes without saying.
        """
        self.reason = reason
        self._log = log
        self._message = message
        self._over = over

    def is_now(self, reason: str, **details: object) -> None:
        """It is because of `reason` that the thing does not work; `details` stand in the log line."""
        if reason != self.reason:
            self._log.warning(self._message, extra={"reason": reason, **details})
        self.reason = reason

    def is_over(self, **details: object) -> None:
        """The thing works."""
        if self.reason:
            self._log.info(self._over, extra=details)
        self.reason = ""


class IntermittentTrouble:
    """What fails now and then while other attempts succeed, as writes do on a full disk while reads go on.

    It begins with the first failure and is over when there has been none for `quiet_seconds`, so that the log
    has a few lines of it and not two for each attempt.
    """

    def __init__(
        self,
        log: logging.Logger,
        message: str,
        over: str,
        *,
        quiet_seconds: float = QUIET_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`message` is logged with each reason that is new to this trouble, `over` at its end."""
        self._log = log
        self._message = message
        self._over = over
        self._quiet_seconds = quiet_seconds
        self._clock = clock
        self._reasons: set[str] = set()
        self._failures = 0
        self._latest = 0.0

    def failed(self, reason: str, **details: object) -> None:
        """An attempt has failed. `reason` is one of few, a code perhaps; `details` stand in the log line."""
        if reason not in self._reasons:
            self._log.warning(self._message, extra={"reason": reason, **details})
        self._reasons.add(reason)
        self._failures += 1
        self._latest = self._clock()

    def worked(self) -> None:
        """An attempt has succeeded."""
        if self._reasons and self._clock() - self._latest >= self._quiet_seconds:
            self._log.info(self._over, extra={"failures": self._failures})
            self._reasons.clear()
            self._failures = 0
