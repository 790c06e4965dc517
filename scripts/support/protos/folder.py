"""The folder of the contracts: what its metadata say, and where its releases lie."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

from scripts.support.failures import BAD_SETTING, SetupError

METADATA = "pyproject.toml"


@dataclass(frozen=True)
class Contracts:
    """One folder of contracts, at the version that its metadata name."""

    folder: Path
    package: str
    version: str
    module: str

    @property
    def sources(self) -> list[str]:
        """The .proto files, relative to the folder, in one order everywhere."""
        found = (self.folder / self.module).rglob("*.proto")
        return sorted(path.relative_to(self.folder).as_posix() for path in found)

    @property
    def releases(self) -> Path:
        """Where released wheels and descriptor images lie."""
        return self.folder / "releases"

    def wheel(self, version: str) -> Path:
        """Where the wheel of `version` lies once it is released."""
        return self.releases / f"{self._file_name}-{version}-py3-none-any.whl"

    def image(self, version: str) -> Path:
        """Where the descriptor image of `version` lies once it is released."""
        return self.releases / f"{self._file_name}-{version}.binpb"

    @property
    def _file_name(self) -> str:
        return self.package.replace("-", "_")


def read_contracts(folder: Path) -> Contracts:
    """SetupError when `folder` does not hold contracts."""
    path = folder / METADATA
    try:
        metadata = tomllib.loads(path.read_text())
        project, module = metadata["project"], metadata["tool"]["flit"]["module"]["name"]
        contracts = Contracts(folder.resolve(), project["name"], project["version"], module)
    except FileNotFoundError:
        raise SetupError(f"there are no contracts in {folder}: it has no {METADATA}", BAD_SETTING) from None
    except (tomllib.TOMLDecodeError, KeyError) as bad:
        raise SetupError(f"{path} cannot be used: {bad}", BAD_SETTING) from None
    if not contracts.sources:
        raise SetupError(f"there are no .proto files in {folder / module}", BAD_SETTING)
    return contracts
