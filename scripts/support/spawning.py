"""Children that do not outlive their parent.

On Linux the kernel itself sends a child `death_signal` when its parent dies, however it dies (prctl(2),
PR_SET_PDEATHSIG). Elsewhere there is no such thing; there the next start ends what was left (records).
"""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import IO

PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)  # loaded here, as a forked child must not load anything


def spawn(
    command: list[str],
    *,
    death_signal: signal.Signals,
    environment: Mapping[str, str] | None = None,
    output: IO[bytes] | None = None,
    errors: int | None = None,
    stdin: int | None = None,
    prepare: Callable[[], None] | None = None,
    own_group: bool = False,
) -> subprocess.Popen[bytes]:
    """Start `command`; `prepare` runs in the child before.

    `output` takes both its outputs, unless `errors` (subprocess.PIPE) takes standard error. When we have no
    standard input, the child gets an empty one: an event loop that is given descriptor 0 for its own breaks.
    A child in its `own_group` does not get the terminal's Ctrl-C: its parent decides what it hears.
    """
    parent = os.getpid()

    def before_exec() -> None:
        if prepare is not None:
            prepare()  # first: a change of user clears the death signal
        die_with(parent, death_signal)

    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL if stdin is None and sys.stdin is None else stdin,
        stdout=output,
        stderr=output if errors is None else errors,
        process_group=0 if own_group else None,
        preexec_fn=before_exec,  # noqa: PLW1509 - every caller has one thread
    )


def die_with(parent: int, death_signal: signal.Signals) -> None:
    """From now on the kernel sends us `death_signal` when `parent`, which has made us, dies."""
    if sys.platform == "linux":
        _libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:  # it died before we asked to be told
        os._exit(1)
