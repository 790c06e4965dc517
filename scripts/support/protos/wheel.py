"""The wheel of a release: the same contracts and tools make the same bytes."""

import re
import shutil
import tempfile
import zipfile
from pathlib import Path

from scripts.support.protos.folder import METADATA, Contracts
from scripts.support.protos.generate import generate_python
from scripts.support.protos.tools import flit

EPOCH = 315_532_800  # 1980-01-01, the oldest time that a zip file knows
_VERSION = re.compile(r'^version = ".*"$', re.MULTILINE)


def build_wheel(contracts: Contracts, version: str, into: Path) -> Path:
    """Build the wheel of `contracts` as `version`, in the folder `into`."""
    with tempfile.TemporaryDirectory() as name:
        project = Path(name)
        metadata = (contracts.folder / METADATA).read_text()
        (project / METADATA).write_text(with_version(metadata, version))
        shutil.copy(contracts.folder / "LICENSE", project)
        generate_python(contracts, project)
        flit(project, into, EPOCH)
    return into / contracts.wheel(version).name


def with_version(metadata: str, version: str) -> str:
    """The text of a pyproject.toml with another version."""
    return _VERSION.sub(f'version = "{version}"', metadata, count=1)


def members(wheel: Path) -> dict[str, tuple[object, ...]]:
    """What is in a wheel. Compressed bytes are not compared: builds of zlib differ in how they press."""
    with zipfile.ZipFile(wheel) as archive:
        return {
            each.filename: (each.date_time, each.external_attr, archive.read(each))
            for each in archive.infolist()
        }
