"""Locks that the kernel frees with their holder, however that ends."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from scripts.support.failures import SetupError


@contextmanager
def held(path: Path, otherwise: str) -> Iterator[None]:
    """Hold the lock file at `path` for as long as the block runs; SetupError(`otherwise`) when another does.

    flock(2), not fcntl(2): the latter's locks are lost as soon as anything in the process reads the file. The
    descriptor is closed in every program we start, so none of them holds the lock on.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SetupError(otherwise) from None
        yield


@contextmanager
def awaited(path: Path) -> Iterator[None]:
    """As `held`, but wait for as long as another holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
