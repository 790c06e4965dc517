"""Trouble that lasts is logged when it changes, not each time that somebody meets it."""

import logging


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
