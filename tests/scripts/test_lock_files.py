"""The lock files hold what pyproject.toml asks for, and nothing without a hash."""

import hashlib
import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from shared.config import CHECKOUT

RUN, DEVELOP, PROTOS = "requirements.lock", "requirements-dev.lock", "requirements-protos.lock"
CONTRACTS = "plainstack-protos"
PINNED = re.compile(r"^(?P<name>[\w.-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)


def asked_for(*extras: str) -> Iterator[Requirement]:
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]
    optional = (line for extra in extras for line in project["optional-dependencies"][extra])
    return map(Requirement, (*project["dependencies"], *optional))


def blocks(lock: str) -> list[str]:
    """One for each package: its version and its hashes."""
    return re.split(r"\n(?=\S)", (CHECKOUT / lock).read_text().strip())


def versions(lock: str) -> dict[str, str]:
    found = (PINNED.match(block) for block in blocks(lock))
    return {canonicalize_name(each["name"]): each["version"] for each in found if each}


@pytest.mark.parametrize(("lock", "extras"), [(RUN, ()), (DEVELOP, ("dev",))])
def test_every_requirement_is_locked_in_a_version_that_it_allows(lock: str, extras: tuple[str, ...]) -> None:
    locked = versions(lock) | versions(PROTOS)
    for requirement in asked_for(*extras):
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is missing: run ./scripts/lock"
        assert locked[name] in requirement.specifier, f"{requirement}, but {locked[name]}: run ./scripts/lock"


def test_the_contracts_come_from_our_releases_and_from_no_index() -> None:
    assert CONTRACTS not in versions(RUN) | versions(DEVELOP), "an index would be asked for it"
    version = versions(PROTOS)[CONTRACTS]
    wheel = CHECKOUT / "protos" / "releases" / f"plainstack_protos-{version}-py3-none-any.whl"
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert blocks(PROTOS) == [f"{CONTRACTS}=={version} \\\n    --hash=sha256:{digest}"]


def test_what_the_contracts_need_is_locked() -> None:
    metadata = tomllib.loads((CHECKOUT / "protos" / "pyproject.toml").read_text())
    locked = versions(RUN)
    for requirement in map(Requirement, metadata["project"]["dependencies"]):
        assert locked[canonicalize_name(requirement.name)] in requirement.specifier, requirement


def test_what_runs_is_the_same_when_one_develops() -> None:
    assert versions(RUN).items() <= versions(DEVELOP).items()


@pytest.mark.parametrize("lock", [RUN, DEVELOP, PROTOS])
def test_every_package_has_hashes(lock: str) -> None:
    for block in blocks(lock):
        assert PINNED.match(block), block
        assert "--hash=sha256:" in block, block
