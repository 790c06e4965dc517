"""A child's standard error, handed on to our own as it comes, with its end remembered."""

import os
import sys
from contextlib import suppress
from typing import IO

CHUNK_BYTES = 65_536
END_BYTES = 4_096  # more than one line of ours is long


class Relay:
    """Reads `pipe` whenever it is told to, and never waits for it."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._end = b""
        os.set_blocking(pipe.fileno(), False)

    def files(self) -> list[int]:
        """What to wait for: the pipe while it is open."""
        return [] if self._pipe.closed else [self._pipe.fileno()]

    def hand_on(self) -> None:
        """Pass on everything that has come; close the pipe at its end."""
        while not self._pipe.closed:
            try:
                chunk = os.read(self._pipe.fileno(), CHUNK_BYTES)
            except BlockingIOError:
                return
            if not chunk:
                self._pipe.close()
            self._end = (self._end + chunk)[-END_BYTES:]
            with suppress(BrokenPipeError):  # whoever listened has gone; the parent's death is seen elsewhere
                sys.stderr.buffer.write(chunk)
                sys.stderr.buffer.flush()

    def close(self) -> None:
        """Pass on the rest, and read no more: a grandchild may hold the other end open for ever."""
        self.hand_on()
        self._pipe.close()

    def last_line(self) -> str:
        """The last line that is not blank."""
        lines = self._end.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
