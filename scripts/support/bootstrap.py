"""Makes .venv: `python -I scripts/support/bootstrap.py LOCK [ARGUMENTS]`, from inside the checkout.

Installs what LOCK names, then the contracts from our own releases, every file checked against its hash, and
becomes .venv's Python with ARGUMENTS. When a stamp in .venv says that this has been done, it takes no time.
Standard library only: it runs before anything is installed.
"""

import fcntl
import hashlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

VENV = Path(".venv")
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "installed.txt"
LOG = VENV / "install.log"
LOCKS = ("requirements.lock", "requirements-dev.lock")  # the second holds all of the first
PIP = "-m pip --disable-pip-version-check --no-input --retries 2"
INSTALL = f"{PIP} install --require-hashes --only-binary :all: -r"

# The contracts come out of this checkout. --isolated: no setting of this machine leads pip anywhere else.
PROTOS = "requirements-protos.lock"
# Anew in any case: what is installed already has no hash that pip could check.
INSTALL_PROTOS = (
    f"{INSTALL} {PROTOS} --isolated --no-index --find-links protos/releases --no-deps --force-reinstall"
)

# What pip says, and what we make of it. The first that fits counts.
REASONS = (
    ("No space left on device", "the disk is full"),
    ("DO NOT MATCH THE HASHES", "a package is not the one that the lock file names (wrong hash)"),
    ("Permission denied", "a folder cannot be written"),
    ("Read-only file system", "a folder cannot be written"),
    (r"NewConnectionError|NameResolutionError|Connection refused", "there is no network"),
    (r"ConnectTimeoutError|ReadTimeoutError|ProxyError|SSLError", "the package index cannot be reached"),
    ("No matching distribution", "a package has no ready-made file for this machine or this Python"),
)


class CannotSetUp(Exception):
    """One line for the operator."""


def set_up(lock: str) -> None:
    """See to it that .venv holds what `lock` names. CannotSetUp when that is impossible."""
    if is_done(lock):
        return
    with _alone():
        if is_done(lock):  # somebody else was faster
            return
        _check_modules()
        if not _works():
            _say(f"making .venv with Python {_version()}")
            _run([_base_python(), "-m", "venv", "--clear", "--without-pip", str(VENV)], "making .venv failed")
            _run([str(PYTHON), "-m", "ensurepip"], "making .venv failed")  # apart, as venv hides its words
        _say(f"installing what {lock} names")
        _run([str(PYTHON), *INSTALL.split(), lock], "installing failed", log=LOG)
        _run([str(PYTHON), *INSTALL_PROTOS.split()], "installing the contracts failed", log=LOG)
        STAMP.write_text(_stamp(lock))


def is_done(lock: str) -> bool:
    """Whether .venv holds `lock`, or the larger one, by this version of Python and today's lock files."""
    try:
        stamp = STAMP.read_text()
    except OSError:
        return False
    return PYTHON.exists() and stamp in {_stamp(larger) for larger in LOCKS[LOCKS.index(lock) :]}


def _stamp(lock: str) -> str:
    """All lock files count: what one of them has moved, the others must install anew."""
    contents = b"".join(Path(name).read_bytes() for name in (*LOCKS, PROTOS))
    return f"{lock} {hashlib.sha256(contents).hexdigest()} {_version()}\n"


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _base_python() -> str:
    """Ourselves; when we are .venv's own, the Python it was made from, as .venv is about to be cleared."""
    return str(getattr(sys, "_base_executable", sys.executable))


def _check_modules() -> None:
    missing = [name for name in ("venv", "ensurepip") if importlib.util.find_spec(name) is None]
    if missing:
        raise CannotSetUp(
            f"{sys.executable} comes without {' and '.join(missing)}: install your system's package for it "
            f"(on Debian and Ubuntu python{_version()}-venv), or set PYTHON to another Python"
        )


def _works() -> bool:
    """Whether .venv is whole and of our version."""
    probe = "import pip, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([PYTHON, "-c", probe], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return done.stdout.strip() == _version()


def _run(command: list[str], failure: str, log: Path | None = None) -> None:
    """Run `command` with everything that it starts in a group of its own, which never outlives us."""
    child = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    assert child.stdout is not None
    output = []
    try:
        for line in child.stdout:
            output.append(line)
            _show_progress(line)
        status = child.wait()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
    if log is not None:
        log.write_text("".join(output))
    if status != 0:
        raise CannotSetUp(f"{failure}: {_reason(output)}{f' (see {log})' if log else ''}")


def _show_progress(line: str) -> None:
    if found := re.match(r"Collecting ([^=\s]+)==(\S+)", line):
        _say(f"  {found[1]} {found[2]}")


def _reason(output: list[str]) -> str:
    text = "".join(output)
    known = (meaning for pattern, meaning in REASONS if re.search(pattern, text))
    errors = [line for line in output if "error" in line.lower()] or output[-1:] or ["it said nothing"]
    return next(known, errors[-1].strip())


@contextmanager
def _alone() -> Iterator[None]:
    """One set-up at a time. The checkout itself is what is locked, so no file is left over."""
    folder = os.open(".", os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _say(line: str) -> None:
    print(f"set-up: {line}", flush=True)


def _terminated(number: int, _: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def main(lock: str, arguments: list[str]) -> int:
    """The exit status, unless .venv's Python takes over with `arguments`."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        set_up(lock)
    except CannotSetUp as failure:
        print(f"set-up: {failure}", file=sys.stderr)
        return 1
    except OSError as failure:
        print(f"set-up: {failure.filename or Path.cwd()}: {failure.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if arguments:
        os.execv(PYTHON, [str(PYTHON), *arguments])  # noqa: S606 - that is the point
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
