"""Signals as something a plain loop can wait for, together with time."""

import os
import select
import signal
from collections.abc import Collection, Iterable


class SignalQueue:
    """Collects the signals `numbers` of this process from now on. One per process (signal.set_wakeup_fd)."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None, files: Collection[int] = ()) -> list[signal.Signals]:
        """What has arrived, oldest first; empty when nothing does within `seconds` (None: no limit).

        Returns early, perhaps with nothing, when one of the descriptors `files` can be read.
        """
        readable, _, _ = select.select([self._reader, *files], [], [], seconds)
        arrived = os.read(self._reader, 4096) if self._reader in readable else b""
        return [signal.Signals(number) for number in arrived]


def stop_among(arrived: Iterable[signal.Signals]) -> signal.Signals | None:
    """The first signal that asks us to stop; None when there is only news of children."""
    return next((number for number in arrived if number != signal.SIGCHLD), None)
