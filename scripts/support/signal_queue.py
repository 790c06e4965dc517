"""Signals as something a plain loop can wait for, together with time."""

import os
import select
import signal


class SignalQueue:
    """Collects the signals `numbers` of this process from now on. One per process (signal.set_wakeup_fd)."""

    def __init__(self, *numbers: signal.Signals) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in numbers:
            signal.signal(number, lambda *_: None)

    def wait(self, seconds: float | None) -> list[signal.Signals]:
        """What has arrived, oldest first; empty when nothing does within `seconds` (None: no limit)."""
        readable, _, _ = select.select([self._reader], [], [], seconds)
        return [signal.Signals(number) for number in os.read(self._reader, 4096)] if readable else []
