"""Copies of our contracts that tests may change, released as 1.0.0, whatever ours have reached themselves."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from scripts.support.protos.buf import build_image
from scripts.support.protos.folder import Contracts, read_contracts
from scripts.support.protos.pin import lock_text
from scripts.support.protos.wheel import build_wheel, with_version
from shared.config import CHECKOUT

PACKAGE, VERSION = "plainstack-protos", "1.0.0"
PRODUCT = "shop/product/v1/product.proto"
NAME = "  // One line.\n  string name = 2;\n"
ARCHIVED = "  // No longer on offer.\n  bool archived = 6;\n"
WEIGHT = "  // In grams.\n  int64 weight = 1000;\n"
CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.0.0\n\n- The first.\n"


class Copy:
    """A folder with an application that asks for the contracts, which lie in its protos/."""

    def __init__(self, application: Path) -> None:
        self.application = application
        self.folder = application / "protos"
        shutil.copytree(CHECKOUT / "protos", self.folder, ignore=shutil.ignore_patterns("releases"))
        (self.folder / "releases").mkdir()
        (self.folder / "CHANGELOG.md").write_text(CHANGELOG)
        (self.folder / "pyproject.toml").write_text(with_version(self.read("pyproject.toml"), VERSION))
        wheel, image = _release()
        self.contracts.wheel(VERSION).write_bytes(wheel)
        self.contracts.image(VERSION).write_bytes(image)
        (application / "pyproject.toml").write_text(f'dependencies = ["{PACKAGE}=={VERSION}"]\n')
        (application / "requirements-protos.lock").write_text(lock_text(PACKAGE, VERSION, wheel))

    @property
    def contracts(self) -> Contracts:
        return read_contracts(self.folder)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text()

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        (self.folder / name).write_text(text.replace(old, new))

    def add_field(self) -> None:
        """What no client of the last release notices."""
        self.edit(PRODUCT, ARCHIVED, ARCHIVED + WEIGHT)

    def say_something(self) -> None:
        """In the changelog."""
        self.edit("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n### Added\n- Something.\n")

    def everything(self) -> dict[Path, bytes]:
        """All files with their contents, to see whether anything changes."""
        return {path: path.read_bytes() for path in self.application.rglob("*") if path.is_file()}


@cache
def _release() -> tuple[bytes, bytes]:
    """The wheel and the image of our contracts as they are."""
    contracts = read_contracts(CHECKOUT / "protos")
    with tempfile.TemporaryDirectory() as folder:
        wheel = build_wheel(contracts, VERSION, Path(folder))
        return wheel.read_bytes(), build_image(contracts)
