"""Folders that cannot be written, or hold little."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

READ_ONLY = ("mount", "-t", "tmpfs", "-o", "ro", "none")
ONE_MEGABYTE = ("mount", "-t", "tmpfs", "-o", "size=1m", "none")


@contextmanager
def mounted(folder: Path, command: Sequence[str]) -> Iterator[None]:
    """`folder` under a mount; without the right to mount, the test is skipped."""
    if subprocess.run([*command, str(folder)], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
