"""Commands in processes of their own, forked from one that has imported what they need and nothing else.

Importing is most of what a short command does. The process that is forked is multiprocessing's fork server:
where it could not import something, the command does, and takes longer.
"""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.config import CHECKOUT

SECONDS = 60.0
STANDARD = ("stdin", "stdout", "stderr")

_forks = multiprocessing.get_context("forkserver")
_imported = [__name__]


def import_before(modules: Sequence[str]) -> None:
    """What all commands find imported, besides what others have said; before the first one runs."""
    _imported.extend(modules)
    _forks.set_forkserver_preload(_imported)


def run_module(
    module: str, arguments: Sequence[str], variables: Mapping[str, str], text: str = ""
) -> "subprocess.CompletedProcess[str]":
    """`python -m module arguments` in the checkout; `variables` are its environment, `text` its input."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "stdin").write_text(text)
        process = _forks.Process(target=_run, args=(module, [*arguments], {**variables}, folder))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *arguments], SECONDS)
        output, errors = ((folder / each).read_text() for each in STANDARD[1:])
        return subprocess.CompletedProcess([module, *arguments], process.exitcode, output, errors)


def _run(module: str, arguments: list[str], variables: dict[str, str], folder: Path) -> None:
    _redirect(folder)
    os.chdir(CHECKOUT)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _redirect(folder: Path) -> None:
    """Standard input and both outputs are files in `folder`, for whoever asks Python or the system."""
    for number, name in enumerate(STANDARD):
        mode = os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY
        os.dup2(os.open(folder / name, mode), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
