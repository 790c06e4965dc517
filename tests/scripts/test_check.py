"""`./scripts/check --install-hook`: a hook in this checkout, or one line and nothing written."""

import shutil
import subprocess
from pathlib import Path

import pytest

from shared.config import CHECKOUT


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True)


def install_hook(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(folder / "scripts" / "check"), "--install-hook"]
    return subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with a blank in its path that holds our script, in no git checkout yet."""
    folder = tmp_path / "a folder"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(CHECKOUT / "scripts" / "check", folder / "scripts")
    return folder


def test_git_runs_the_hook_before_a_commit(checkout: Path) -> None:
    git(checkout, "init")
    assert install_hook(checkout).returncode == 0
    assert install_hook(checkout).returncode == 0, "our own hook may be written again"
    (checkout / "scripts" / "check").write_text("#!/bin/sh\ntouch checked\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
    git(checkout, *identity, "commit", "--allow-empty", "-m", "first")
    assert (checkout / "checked").exists()


def test_another_hook_stays(checkout: Path) -> None:
    git(checkout, "init")
    hook = checkout / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\n")
    done = install_hook(checkout)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert hook.read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("above", [False, True])
def test_outside_a_checkout_nothing_is_written(checkout: Path, above: bool) -> None:
    if above:  # somebody else's checkout, which ours lies in
        git(checkout.parent, "init")
    before = sorted(checkout.parent.rglob("*"))
    done = install_hook(checkout)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "git checkout" in done.stderr
    assert sorted(checkout.parent.rglob("*")) == before
