"""Failures that an operator can mend: one line on standard error and an exit status, never a traceback."""

import os
import sys
from collections.abc import Callable

from shared.config import ConfigError

BAD_SETTING = 2  # the exit status of every process of ours that cannot use a setting
BROKEN_PIPE = 141  # as shells have it for SIGPIPE


class SetupError(Exception):
    """Something about this machine stands in the way; the message says what to do about it."""

    def __init__(self, message: str, status: int = 1) -> None:
        """`status` is the process's exit status."""
        super().__init__(message)
        self.status = status


def exit_status(name: str, main: Callable[[], int]) -> int:
    """What `main` returns; 2 for a bad setting and 1 for anything else that is the operator's to mend.

    Whoever reads our output may stop, as `| head` does: that is no failure worth a word.
    """
    try:
        return _flushed(main)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at the end
        return BROKEN_PIPE
    except ConfigError as bad:
        return _one_line(name, str(bad), BAD_SETTING)
    except SetupError as failure:
        return _one_line(name, str(failure), failure.status)
    except OSError as failure:  # a full disk, a folder that cannot be written
        where = f"{failure.filename}: " if failure.filename else ""
        return _one_line(name, f"{where}{failure.strerror or failure}", 1)


def _flushed(main: Callable[[], int]) -> int:
    try:
        return main()
    finally:
        print(end="", flush=True)  # while somebody can still catch what goes wrong


def _one_line(name: str, message: str, status: int) -> int:
    print(f"{name}: {' '.join(message.split())}", file=sys.stderr, flush=True)
    return status
