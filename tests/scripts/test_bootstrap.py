"""Making .venv, and everything that can stand in its way, in a checkout with requirements of its own."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.config import CHECKOUT
from tests.mounts import mounted
from tests.waiting import until

SECONDS = 60
SMALL_DISK = ["mount", "-t", "tmpfs", "-o", "size=4m", "none"]


class Checkout:
    """The scripts, lock files that name one small package (`tiny`) kept in a folder beside them, and another
    (`contracts`) that is released here."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(
            CHECKOUT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__")
        )
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.variables = {
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(self.wheels),
            "PYTHON": sys.executable,
        }
        self.releases = folder / "protos" / "releases"
        self.releases.mkdir(parents=True)
        self.lock("1.0", make_wheel(self.wheels, "1.0"))
        self.lock_contracts("1.0", make_wheel(self.releases, "1.0", "contracts"))

    def lock(self, version: str, digest: str) -> None:
        for name in ("requirements.lock", "requirements-dev.lock"):
            (self.folder / name).write_text(f"tiny=={version} --hash=sha256:{digest}\n")

    def lock_contracts(self, version: str, digest: str) -> None:
        (self.folder / "requirements-protos.lock").write_text(
            f"contracts=={version} --hash=sha256:{digest}\n"
        )

    def command(self, package: str = "tiny") -> list[str]:
        """Set up, then have .venv's Python say what it finds."""
        code = f"import importlib.metadata as m; print('{package}', m.version('{package}'))"
        return [sys.executable, "-I", "scripts/support/bootstrap.py", "requirements.lock", "-c", code]

    def run(
        self, *command: str, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command or self.command(),
            cwd=self.folder,
            env={**self.variables, **(settings or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )


def make_wheel(folder: Path, version: str, name: str = "tiny") -> str:
    """Writes a package; its digest."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    information = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(
            f"{information}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        wheel.writestr(
            f"{information}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{information}/RECORD", "")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def assert_one_line(done: subprocess.CompletedProcess[str], *words: str) -> None:
    assert done.returncode == 1, done
    assert done.stderr.count("\n") == 1, done
    for word in words:
        assert word in done.stderr, done


@dataclass(frozen=True)
class MadeByTwo:
    """A checkout with a half-made .venv that two have set up at once, and what each has said."""

    checkout: Checkout
    outputs: list[str]


@pytest.fixture(scope="module")
def made_by_two(tmp_path_factory: pytest.TempPathFactory) -> MadeByTwo:
    checkout = Checkout(tmp_path_factory.mktemp("ready"))
    half_made = checkout.run(sys.executable, "-m", "venv", "--without-pip", ".venv")
    assert half_made.returncode == 0, half_made
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(lambda _: checkout.run(), range(2)))
    assert [each.returncode for each in both] == [0, 0], both
    return MadeByTwo(checkout, [each.stdout for each in both])


@pytest.fixture
def ready(made_by_two: MadeByTwo, bare_venv: Path) -> Checkout:
    """A checkout that is set up."""
    return made_by_two.checkout


@pytest.fixture
def fresh(tmp_path: Path) -> Checkout:
    """A checkout that is not set up."""
    return Checkout(tmp_path)


@pytest.fixture(scope="module")
def bare_venv(made_by_two: MadeByTwo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python and pip, and nothing else; making it takes most of a set-up's time."""
    folder = tmp_path_factory.mktemp("bare") / ".venv"
    installed = shutil.ignore_patterns("tiny*", "contracts*", "installed.txt")
    return shutil.copytree(made_by_two.checkout.folder / ".venv", folder, symlinks=True, ignore=installed)


@pytest.fixture
def with_pip(fresh: Checkout, bare_venv: Path) -> Checkout:
    """A checkout that has got as far as that."""
    shutil.copytree(bare_venv, fresh.folder / ".venv", symlinks=True)
    return fresh


def test_a_second_time_there_is_nothing_to_do(ready: Checkout) -> None:
    assert ready.run().stdout == "tiny 1.0\n"


def test_a_changed_lock_file_is_installed_and_a_larger_set_up_serves_for_the_smaller(ready: Checkout) -> None:
    command = ready.command()
    command[command.index("requirements.lock")] = "requirements-dev.lock"
    ready.lock("1.1", make_wheel(ready.wheels, "1.1"))
    assert ready.run(*command).stdout.endswith("installing what requirements-dev.lock names\ntiny 1.1\n")
    assert ready.run().stdout == "tiny 1.1\n"


def test_contracts_come_from_our_releases_alone(ready: Checkout) -> None:
    ready.lock_contracts("1.1", make_wheel(ready.wheels, "1.1", "contracts"))  # a stranger's, by that name
    assert_one_line(ready.run(), "installing the contracts failed", "install.log")
    digest = make_wheel(ready.releases, "1.1", "contracts")
    ready.lock_contracts("1.1", "0" * 64)
    assert_one_line(ready.run(), "installing the contracts failed", "wrong hash")
    ready.lock_contracts("1.1", digest)
    assert ready.run(*ready.command("contracts")).stdout.endswith("contracts 1.1\n")


def test_two_at_once_do_not_disturb_each_other_and_make_a_half_made_venv_anew(made_by_two: MadeByTwo) -> None:
    outputs = made_by_two.outputs
    assert sum("making .venv" in output for output in outputs) == 1
    assert sum(output.endswith("requirements.lock names\ntiny 1.0\n") for output in outputs) == 1
    assert all(output.endswith("tiny 1.0\n") for output in outputs)


def test_a_wrong_hash_is_one_line(with_pip: Checkout) -> None:
    with_pip.lock("1.0", "0" * 64)
    assert_one_line(with_pip.run(), "wrong hash", "install.log")


def test_no_network_is_one_line(with_pip: Checkout) -> None:
    away = {
        "PIP_NO_INDEX": "",
        "PIP_FIND_LINKS": "",
        "PIP_INDEX_URL": "http://127.0.0.1:9/",
        "PIP_RETRIES": "0",
    }
    assert_one_line(with_pip.run(settings=away), "no network")


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with mounted(tmp_path, SMALL_DISK):
        assert_one_line(Checkout(tmp_path).run(), "the disk is full")


def test_a_checkout_that_cannot_be_written_is_one_line(fresh: Checkout) -> None:
    with mounted(fresh.folder, ["mount", "--bind", "-o", "ro", str(fresh.folder)]):
        assert_one_line(fresh.run(), "cannot be written")


def test_a_python_without_ensurepip_is_one_line(fresh: Checkout) -> None:
    code = (
        "import runpy, sys; sys.modules['ensurepip'] = None; del sys.argv[0]; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    command = [sys.executable, "-I", "-c", code, *fresh.command()[2:]]
    assert_one_line(fresh.run(*command), "ensurepip", "PYTHON")


@pytest.mark.parametrize("script", ["up", "test", "check", "lock"])
def test_too_old_a_python_is_one_line(fresh: Checkout, script: str) -> None:
    old = fresh.folder / "old"
    old.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13"):
        (old / name).write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.9.2\nexit 1\n')
        (old / name).chmod(0o755)
    settings = {"PYTHON": "", "PATH": f"{old}:{os.environ['PATH']}"}
    (old / "python3").write_text("#!/bin/sh\necho Python 3.9.2\n[ $1 = --version ]\n")
    done = fresh.run(f"scripts/{script}", settings=settings)
    assert_one_line(done, "needs Python 3.11", "Python 3.9.2")
    assert not (fresh.folder / ".venv").exists()


def test_the_path_of_python_may_hold_a_blank(fresh: Checkout) -> None:
    folder = fresh.folder / "a folder"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    command = 'cd "$0" && . scripts/support/find_python.sh && echo "$python"'
    done = fresh.run("sh", "-c", command, str(fresh.folder), settings={"PYTHON": str(folder / "python")})
    assert done.stdout == f"{folder}/python\n", done


def test_help_needs_no_set_up(fresh: Checkout) -> None:
    for script in ("up", "test", "check", "lock", "protos"):
        done = fresh.run(f"scripts/{script}", "--help")
        assert done.stdout.startswith(f"Usage: ./scripts/{script}"), done
    assert not (fresh.folder / ".venv").exists()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_running(with_pip: Checkout, number: signal.Signals, status: int) -> None:
    with socket.socket() as silent:  # an index that takes the call and says nothing
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        silent.settimeout(SECONDS)
        index = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        settings = {"PIP_NO_INDEX": "", "PIP_FIND_LINKS": "", "PIP_INDEX_URL": index}
        setting_up = subprocess.Popen(
            with_pip.command(),
            cwd=with_pip.folder,
            env={**with_pip.variables, **settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        silent.accept()[0].close()
        assert _runs_in(with_pip.folder)
        setting_up.send_signal(number)
        assert setting_up.communicate(timeout=SECONDS)[1] == b""
    assert setting_up.returncode == status
    until(lambda: not _runs_in(with_pip.folder), SECONDS, "pip has ended")


def _runs_in(folder: Path) -> bool:
    """Whether any process works in `folder`."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            found.add((process / "cwd").readlink())
    return folder in found
