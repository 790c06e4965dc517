"""File descriptors: every connection needs one, and the system lets a process have so many and no more.

The limit (setrlimit(2), RLIMIT_NOFILE) is a soft one, which counts, below a hard one, up to which a process
may raise it by itself.
"""

import logging
import resource

RESERVED = 100  # for what has no limit of its own: log, event loop, listeners, store, name look-ups

_log = logging.getLogger(__name__)


def limit() -> int:
    """How many descriptors this process may have open; below 0 for "any number"."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def provide_for(connections: int) -> None:
    """See to it that so many `connections` may be open at once; warn where the system forbids it."""
    needed = connections + RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _suffices(soft, needed):
        return
    wanted = needed if _suffices(hard, needed) else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # some systems have a lower limit that getrlimit does not report
        wanted = soft
    if wanted < needed:
        _log.warning("fewer file descriptors than connections", extra={"limit": wanted, "needed": needed})


def _suffices(allowed: int, needed: int) -> bool:
    return allowed >= needed or allowed == resource.RLIM_INFINITY
