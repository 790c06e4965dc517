"""Processes forked from one that has imported what they need and nothing else.

Importing is most of what a short command does, and most of what a service costs that dies and comes back. The
process that is forked is multiprocessing's fork server: where it could not import something, the forked one
does, and takes longer.
"""

import gc
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from scripts.support.spawning import die_with
from shared.config import CHECKOUT

SECONDS = 60.0
STANDARD = ("stdin", "stdout", "stderr")

_forks = multiprocessing.get_context("forkserver")
_imported = [__name__]


def import_before(modules: Sequence[str]) -> None:
    """What all processes find imported, besides what others have said; before the first one runs."""
    _imported.extend(modules)
    _forks.set_forkserver_preload(_imported)


def run_module(
    module: str, arguments: Sequence[str], variables: Mapping[str, str], text: str = ""
) -> "subprocess.CompletedProcess[str]":
    """`python -m module arguments` in the checkout; `variables` are its environment, `text` its input."""
    with tempfile.TemporaryDirectory() as name:
        files = [Path(name) / each for each in STANDARD]
        files[0].write_text(text)
        process = _forks.Process(target=_run, args=(module, [*arguments], {**variables}, files))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired([module, *arguments], SECONDS)
        output, errors = (file.read_text() for file in files[1:])
        return subprocess.CompletedProcess([module, *arguments], process.exitcode, output, errors)


def start_module(module: str, variables: Mapping[str, str], log: Path) -> BaseProcess:
    """`python -m module` in the checkout, on its way, to be ended by us; both its outputs go to `log`."""
    files = [Path(os.devnull), log, log]
    process = _forks.Process(target=_run, args=(module, [], {**variables}, files), daemon=True)
    process.start()
    return process


def _run(module: str, arguments: list[str], variables: dict[str, str], files: list[Path]) -> None:
    gc.freeze()  # to look through all that was imported before would copy the memory it lies in
    die_with(os.getppid(), signal.SIGTERM)
    _redirect(files)
    os.chdir(CHECKOUT)
    os.environ.clear()
    os.environ.update(variables)
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # of which there shall be one, and that is `__main__`
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _redirect(files: list[Path]) -> None:
    """Standard input and both outputs are `files`, for whoever asks Python or the system."""
    for number, file in enumerate(files):
        mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND if number else os.O_RDONLY
        os.dup2(os.open(file, mode), number)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for as long as the process lives
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
