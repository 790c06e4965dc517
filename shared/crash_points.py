"""Named places at which a test lets a process die, as by kill -9. Inert unless CRASH_POINTS names a folder.

`<folder>/armed/NAME` arms a point: whoever passes it next takes the file away and dies. So one file is one
death, in whichever process comes first, and a test sees by the missing file that it has happened.
`<folder>/passed/NAME` appears when a point has been passed: that is how a test knows what points there are.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SETTING = "CRASH_POINTS"

_folder: Path | None = None
_passed: set[str] = set()


def read_crash_points(folder: str | None) -> None:
    """From now on the points of this process look into `folder`; None leaves them inert."""
    global _folder  # noqa: PLW0603 - one process dies as a whole
    _folder = Path(folder) if folder else None


def crash_point(name: str) -> None:
    """Die here, if this point is armed."""
    if _folder is not None:
        _pass(_folder, name)


@contextmanager
def crash_points_around(what: str) -> Iterator[None]:
    """`before_WHAT`, and `after_WHAT` if the block succeeds."""
    crash_point(f"before_{what}")
    yield
    crash_point(f"after_{what}")


def _pass(folder: Path, name: str) -> None:
    if name not in _passed:
        _passed.add(name)
        (folder / "passed" / name).touch()
    try:
        (folder / "armed" / name).unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)
