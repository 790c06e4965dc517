"""Versions of contracts, and which of them fits which change (https://semver.org)."""

import re
from enum import IntEnum
from typing import NamedTuple

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class Change(IntEnum):
    """How much has changed since the last release, the least first."""

    NOTHING = 0
    WORDING = 1  # the wire is as it was: comments, metadata, the tools
    ADDITION = 2  # whoever knows the last release does not notice
    BREAKING = 3


class Version(NamedTuple):
    """Three numbers, in the order in which they count."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        """As it is written everywhere."""
        return f"{self.major}.{self.minor}.{self.patch}"


def parse_version(text: str) -> Version:
    """ValueError unless `text` is X.Y.Z, without leading zeros and without anything else."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a version: three numbers are, such as 1.2.0")
    return Version(*map(int, found.groups()))


def fitting(last: Version, change: Change) -> list[Version]:
    """The versions that may follow on `last`, the smallest step first."""
    steps = [
        Version(last.major, last.minor, last.patch + 1),
        Version(last.major, last.minor + 1, 0),
        Version(last.major + 1, 0, 0),
    ]
    return steps[change - 1 :] if change else []
