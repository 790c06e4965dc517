"""One JSON object a line on standard output.

The standard `logging` module carries what happens rarely; `Lines` is the fast way for what happens at every
request. Both write through one buffer, so lines never mix. No caller passes a token, password or body.
"""

import asyncio
import json
import logging
import sys
import time
from typing import TextIO

from shared.context import request_id, trace

FLUSH_SECONDS = 0.05  # how long an access line may wait for company: one system call writes many
FLUSH_CHARACTERS = 65_536

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines:
    """A buffered writer of lines. Without a running loop, or when asked to, it writes at once."""

    def __init__(self, output: TextIO) -> None:
        self._output = output
        self._pending: list[str] = []
        self._characters = 0
        self._timer: asyncio.TimerHandle | None = None

    def write(self, line: str) -> None:
        """Queue one line (without its end); it is written within FLUSH_SECONDS."""
        self._pending.append(line)
        self._characters += len(line)
        if self._characters >= FLUSH_CHARACTERS:
            self.flush()
        elif self._timer is None:
            try:
                self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self.flush)
            except RuntimeError:
                self.flush()

    def flush(self) -> None:
        """Write what is queued."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        text = "\n".join(self._pending) + "\n"
        self._pending.clear()
        self._characters = 0
        try:
            self._output.write(text)
            self._output.flush()
        except BrokenPipeError:
            pass  # whoever read our log has gone; that must not stop the work


lines = Lines(sys.stdout)


def timestamp(seconds: float) -> str:
    """`seconds` since the epoch as RFC 3339 in UTC with milliseconds."""
    whole = int(seconds)
    return f"{_whole_second(whole)}.{int((seconds - whole) * 1000):03d}Z"


_last_second = (-1, "")


def _whole_second(second: int) -> str:
    """Formatting a date costs more than the rest of a log line; most lines share their second."""
    global _last_second  # noqa: PLW0603 - a one-entry cache
    if _last_second[0] != second:
        _last_second = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return _last_second[1]


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id.get():
            entry["request_id"] = request_id.get()
        if (current := trace.get()) is not None:
            entry["trace_id"] = current.trace_id
        entry.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        line = json.dumps(entry, default=str, ensure_ascii=False)
        return line.encode(errors="backslashreplace").decode()  # half of a pair of UTF-16 is no character


class _LinesHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines.write(self.format(record))
        lines.flush()


def configure(level: str = "INFO") -> None:
    """Send everything that `logging` gets to standard output as JSON lines."""
    handler = _LinesHandler()
    handler.setFormatter(_JSONFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
