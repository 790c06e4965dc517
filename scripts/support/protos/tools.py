"""The pinned tools that make something of contracts. None of them needs a network."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from scripts.support.failures import BAD_SETTING, SetupError

PROGRAMS = Path(sys.executable).parent
MODULES = ("grpc_tools", "flit_core")
WHOLE_PROTOC = PROGRAMS / "protoc"
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def check_tools() -> None:
    """SetupError that names what is missing."""
    missing = [name for name in MODULES if find_spec(name) is None]
    missing += [name for name in ("buf", WHOLE_PROTOC.name, *PLUGINS) if not (PROGRAMS / name).exists()]
    if missing:
        raise SetupError(
            f"{', '.join(missing)} missing beside {sys.executable}: ./scripts/check installs the tools",
            BAD_SETTING,
        )


def buf(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What buf says in `folder`; its status is the caller's to judge. It leaves nothing in anybody's home."""
    with tempfile.TemporaryDirectory() as cache:
        return _run([str(PROGRAMS / "buf"), *arguments], folder, {"BUF_CACHE_DIR": cache})


def protoc(arguments: Sequence[str], folder: Path) -> None:
    """Generate Python from what lies in `folder`. SetupError when that is impossible."""
    _demand("protoc", _run([sys.executable, "-I", "-m", "grpc_tools.protoc", "-I.", *arguments], folder))


def whole_protoc(arguments: Sequence[str], folder: Path) -> None:
    """Generate in any other language: the protoc that knows gRPC for Python knows no other."""
    _demand("protoc", _run([str(WHOLE_PROTOC), "-I.", *arguments], folder))


def plugin(name: str) -> str:
    """The option that makes protoc find one of PLUGINS."""
    return f"--plugin={name}={PROGRAMS / name}"


def flit(folder: Path, into: Path, epoch: int) -> None:
    """Build the wheel of the project in `folder`, with `epoch` (seconds since 1970) as every file's time."""
    command = [sys.executable, "-I", "-m", "flit_core.wheel", str(folder), "--outdir", str(into)]
    _demand("flit", _run(command, folder, {"SOURCE_DATE_EPOCH": str(epoch)}))


def _run(
    command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **(variables or {})}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, errors="replace"
    )


def _demand(name: str, done: "subprocess.CompletedProcess[str]") -> None:
    if done.returncode == 0:
        return
    said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
    what = said[-1] if said[0].startswith("Traceback") else said[0]
    raise SetupError(f"{name} failed: {what}")
