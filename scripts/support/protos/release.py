"""One step of the contracts' version: everything is decided and built before anything is written."""

import tempfile
from datetime import date
from pathlib import Path

from scripts.support.failures import BAD_SETTING, SetupError
from scripts.support.protos.buf import build_image, lint
from scripts.support.protos.changelog import with_release
from scripts.support.protos.changes import Changes, changes_since, last_release
from scripts.support.protos.check import breaking_faults, style_faults
from scripts.support.protos.folder import METADATA, Contracts
from scripts.support.protos.pin import pin_files
from scripts.support.protos.versions import Change, Version, fitting, parse_version
from scripts.support.protos.wheel import build_wheel, with_version
from scripts.support.protos.writing import write_together

CHANGELOG = "CHANGELOG.md"


class Refused(SetupError):
    """The release may not be; `faults` say what is in its way, one line each."""

    def __init__(self, message: str, faults: list[str] | None = None) -> None:
        """`message` is the last line."""
        super().__init__(message)
        self.faults = faults or []


def release(contracts: Contracts, wanted: str, today: date) -> tuple[list[Path], Changes]:
    """Release `wanted`: the files that are written, and what has changed. Refused when that may not be."""
    try:
        version = parse_version(wanted)
    except ValueError as bad:
        raise SetupError(str(bad), BAD_SETTING) from None
    last = last_release(contracts)
    if version <= last:
        raise Refused(f"{version} is not higher than the last release, {last}")
    if faults := style_faults(contracts, lint(contracts)):
        raise Refused(f"{version} is not released: these have to be mended first", faults)
    changes = changes_since(contracts, last)
    _check_step(last, version, changes)
    files = _release_files(contracts, version, today)
    write_together(files)
    return list(files), changes


def _check_step(last: Version, version: Version, changes: Changes) -> None:
    """Refused when `version` is not what the changes since `last` make of it."""
    if changes.change is Change.NOTHING:
        raise Refused(f"nothing has changed since {last}")
    allowed = fitting(last, changes.change)
    if version in allowed:
        return
    choice = " or ".join(map(str, allowed))
    faults = breaking_faults(last, changes) if changes.change is Change.BREAKING else ()
    raise Refused(f"there are {changes} since {last}: what may follow is {choice}, not {version}", [*faults])


def _release_files(contracts: Contracts, version: Version, today: date) -> dict[Path, bytes]:
    """The wheel and the image, the metadata and the changelog, and the application's pin if there is one."""
    wheel, image = contracts.wheel(str(version)), contracts.image(str(version))
    if existing := [path.name for path in (wheel, image) if path.exists()]:
        raise Refused(f"{' and '.join(existing)} exists already, and a release never changes")
    metadata, changelog = contracts.folder / METADATA, contracts.folder / CHANGELOG
    try:
        history = with_release(changelog.read_text(), str(version), today)
    except ValueError as bad:
        raise Refused(f"{changelog}: {bad}") from None
    with tempfile.TemporaryDirectory() as folder:
        built = build_wheel(contracts, str(version), Path(folder)).read_bytes()
    return {
        wheel: built,
        image: build_image(contracts),
        metadata: with_version(metadata.read_text(), str(version)).encode(),
        changelog: history.encode(),
        **pin_files(contracts, str(version), built),
    }
