"""What buf says against contracts. Its rules stand in the folder's buf.yaml."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

from scripts.support.failures import SetupError
from scripts.support.protos.folder import Contracts
from scripts.support.protos.tools import buf

FINDINGS = 100  # buf's exit status when it has something to say about the contracts
COMPILE = "COMPILE"  # the rule that a file has to make sense


@dataclass(frozen=True)
class Finding:
    """One thing that a rule is against; `path` is empty when the file is gone."""

    rule: str
    message: str
    path: str = ""
    line: int = 0

    def __str__(self) -> str:
        """As compilers have it, so that editors find the place."""
        place = f"{self.path}:{self.line}: " if self.path else ""
        return f"{place}{self.rule}: {self.message}"


def lint(contracts: Contracts) -> list[Finding]:
    """Whatever is against the rules of style; a comment that is missing, too."""
    return _findings(contracts, "lint")


def breaks(contracts: Contracts, image: Path) -> list[Finding]:
    """Whatever a client of the contracts in `image` would stumble over."""
    return _findings(contracts, "breaking", "--against", str(image))


def format_difference(contracts: Contracts) -> str:
    """The difference between the files and how buf would format them; empty when there is none."""
    return _said(contracts, "format", "--diff", "--exit-code")


def build_image(contracts: Contracts) -> bytes:
    """All descriptors, with those that they import and without comments: small, and always the same bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.binpb"
        if said := _said(contracts, "build", "--exclude-source-info", "--output", str(path)):
            raise SetupError(said)
        return path.read_bytes()


def _findings(contracts: Contracts, *arguments: str) -> list[Finding]:
    said = _said(contracts, *arguments, "--error-format", "json")
    return [_finding(json.loads(line)) for line in said.splitlines()]


def _finding(said: dict[str, str | int]) -> Finding:
    return Finding(
        str(said["type"]), str(said["message"]), str(said.get("path", "")), int(said.get("start_line", 0))
    )


def _said(contracts: Contracts, *arguments: str) -> str:
    done = buf(*arguments, folder=contracts.folder)
    if done.returncode not in (0, FINDINGS):
        raise SetupError(f"buf {arguments[0]}: {done.stderr or done.stdout}")
    return done.stdout if done.returncode else ""
