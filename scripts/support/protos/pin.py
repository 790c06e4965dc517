"""The version of the contracts that the application is pinned to: `python -m scripts.support.protos.pin`.

pyproject.toml asks for one version, and requirements-protos.lock holds the hash of that version's wheel: a
lock file of its own, as this package comes from our releases and from no index. Standard library only:
./scripts/lock runs it before anything is installed.
"""

import hashlib
import re
import sys
from pathlib import Path

from scripts.support.failures import SetupError, exit_status
from scripts.support.protos.folder import Contracts, read_contracts

LOCK = "requirements-protos.lock"
PROJECT = "pyproject.toml"


def pinned_version(project: str, package: str) -> str | None:
    """The version of `package` that the text of a pyproject.toml asks for; None if it does not."""
    found = _pin(package).search(project)
    return found["version"] if found else None


def lock_text(package: str, version: str, wheel: bytes) -> str:
    """The lock file for one wheel, as pip reads it."""
    return f"{package}=={version} \\\n    --hash=sha256:{hashlib.sha256(wheel).hexdigest()}\n"


def pin_files(contracts: Contracts, version: str, wheel: bytes) -> dict[Path, bytes]:
    """What changes in the application around the contracts, if there is one, when it moves to `version`."""
    project, lock = contracts.folder.parent / PROJECT, contracts.folder.parent / LOCK
    if not (project.exists() and lock.exists()):
        return {}
    text = project.read_text()
    if pinned_version(text, contracts.package) is None:
        return {}
    moved = _pin(contracts.package).sub(f'"{contracts.package}=={version}"', text)
    return {project: moved.encode(), lock: lock_text(contracts.package, version, wheel).encode()}


def write_lock(application: Path, contracts: Contracts) -> None:
    """Write the lock file for the version that the application asks for."""
    version = pinned_version((application / PROJECT).read_text(), contracts.package)
    if version is None:
        raise SetupError(f"{PROJECT} does not ask for a version of {contracts.package} (==)")
    wheel = contracts.wheel(version)
    if not wheel.exists():
        raise SetupError(f"{PROJECT} asks for {contracts.package} {version}, but there is no {wheel}")
    (application / LOCK).write_text(lock_text(contracts.package, version, wheel.read_bytes()))


def _pin(package: str) -> re.Pattern[str]:
    return re.compile(rf'"{re.escape(package)}==(?P<version>[^"]+)"')


def _main() -> int:
    write_lock(Path(), read_contracts(Path("protos")))
    return 0


if __name__ == "__main__":
    sys.exit(exit_status("lock", _main))
