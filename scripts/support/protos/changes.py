"""What has changed since the last release.

What buf objects to, then descriptors, then files of the wheel: each looks closer than the one before.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from scripts.support.failures import SetupError
from scripts.support.protos.buf import Finding, breaks, build_image
from scripts.support.protos.folder import METADATA, Contracts
from scripts.support.protos.versions import Change, Version, parse_version
from scripts.support.protos.wheel import build_wheel, members

KINDS = {
    Change.NOTHING: "no changes",
    Change.WORDING: "changes of comments, metadata or tools",
    Change.ADDITION: "additions",
    Change.BREAKING: "breaking changes",
}


@dataclass(frozen=True)
class Changes:
    """How much has changed, with what shows it: broken rules, or files that differ."""

    change: Change
    breaks: tuple[Finding, ...] = ()
    files: tuple[str, ...] = ()

    def __str__(self) -> str:
        """As it stands in a sentence."""
        return KINDS[self.change]


def last_release(contracts: Contracts) -> Version:
    """The version of the newest release, which has to be the one in the metadata. SetupError otherwise."""
    released = [_version_of(path, contracts) for path in contracts.releases.glob(contracts.image("*").name)]
    if not released:
        raise SetupError(f"nothing is released: {contracts.releases} holds no {contracts.image('*').name}")
    last = max(released)
    if contracts.version != str(last):
        raise SetupError(
            f"{contracts.folder / METADATA} says {contracts.version}, but the last release is {last}: "
            "only ./scripts/protos release moves it"
        )
    if not contracts.wheel(str(last)).exists():
        raise SetupError(f"{contracts.wheel(str(last))} is missing, which belongs to the release of {last}")
    return last


def changes_since(contracts: Contracts, last: Version) -> Changes:
    """What separates the contracts from the release `last`."""
    image = contracts.image(str(last))
    if broken := breaks(contracts, image):
        return Changes(Change.BREAKING, breaks=tuple(broken))
    if files := _differing(_descriptors(image.read_bytes()), _descriptors(build_image(contracts))):
        return Changes(Change.ADDITION, files=files)
    if files := _differing(members(contracts.wheel(str(last))), _rebuilt(contracts, last)):
        return Changes(Change.WORDING, files=files)
    return Changes(Change.NOTHING)


def _version_of(image: Path, contracts: Contracts) -> Version:
    before, after = contracts.image("*").name.split("*")
    try:
        return parse_version(image.name.removeprefix(before).removesuffix(after))
    except ValueError:
        raise SetupError(f"{image} is no release: its name holds no version") from None


def _descriptors(image: bytes) -> dict[str, bytes]:
    """Each file's descriptor. What Google's own files say is not ours to release."""
    files = FileDescriptorSet.FromString(image).file
    return {
        file.name: file.SerializeToString(deterministic=True)
        for file in files
        if not file.name.startswith("google/")
    }


def _rebuilt(contracts: Contracts, version: Version) -> dict[str, tuple[object, ...]]:
    with tempfile.TemporaryDirectory() as folder:
        return members(build_wheel(contracts, str(version), Path(folder)))


def _differing(one: Mapping[str, object], other: Mapping[str, object]) -> tuple[str, ...]:
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))
