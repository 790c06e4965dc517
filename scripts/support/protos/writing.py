"""Several files at once, or none of them."""

import os
from collections.abc import Mapping
from pathlib import Path

SUFFIX = ".unfinished"


def write_together(files: Mapping[Path, bytes]) -> None:
    """Write all files. When that fails (a full disk, a folder that cannot be written), all is as it was.

    Everything is on the disk under another name before the first file changes, so that only renaming is left.
    """
    before = {path: path.read_bytes() if path.exists() else None for path in files}
    try:
        for path, content in files.items():
            _unfinished(path).write_bytes(content)
        for path in files:
            os.replace(_unfinished(path), path)
    except BaseException:
        for path, old in before.items():
            _unfinished(path).unlink(missing_ok=True)
            _restore(path, old)
        raise


def _unfinished(path: Path) -> Path:
    return path.with_name(path.name + SUFFIX)


def _restore(path: Path, content: bytes | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    elif path.read_bytes() != content:
        path.write_bytes(content)
