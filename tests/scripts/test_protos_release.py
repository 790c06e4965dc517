"""`./scripts/protos release`: which step fits which change, and all of it or nothing."""

import hashlib
import shutil
from datetime import date
from pathlib import Path

import pytest

from scripts.support.protos.buf import build_image
from scripts.support.protos.check import check
from scripts.support.protos.release import Refused, release
from scripts.support.protos.versions import Change, Version, fitting, parse_version
from scripts.support.protos.wheel import build_wheel
from scripts.support.protos.writing import write_together
from tests.scripts.contract_copies import NAME, PRODUCT, Copy

TODAY = date(2027, 2, 28)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    copy = Copy(tmp_path)
    copy.say_something()
    return copy


def refusal(copy: Copy, version: str) -> Refused:
    """Why `version` may not be; nothing is written."""
    before = copy.everything()
    with pytest.raises(Refused) as refused:
        release(copy.contracts, version, TODAY)
    assert copy.everything() == before
    return refused.value


def test_an_addition_makes_a_minor_release(copy: Copy) -> None:
    copy.add_field()
    assert "what may follow is 1.1.0 or 2.0.0, not 1.0.1" in str(refusal(copy, "1.0.1"))
    files, _ = release(copy.contracts, "1.1.0", TODAY)
    assert_the_application_asks_for_it(copy)

    contracts = copy.contracts
    assert contracts.version == "1.1.0"
    assert check(contracts) == []
    assert set(files) >= {contracts.wheel("1.1.0"), contracts.image("1.1.0")}
    assert contracts.wheel("1.0.0").exists(), "a release stays"
    heading = "## 1.1.0 \N{EN DASH} 2027-02-28"
    history = f"# Changelog\n\n## Unreleased\n\n{heading}\n\n### Added\n- Something.\n\n## 1.0.0\n"
    assert copy.read("CHANGELOG.md").startswith(history)


def assert_the_application_asks_for_it(copy: Copy) -> None:
    digest = hashlib.sha256(copy.contracts.wheel("1.1.0").read_bytes()).hexdigest()
    lock = (copy.application / "requirements-protos.lock").read_text()
    assert lock == f"plainstack-protos==1.1.0 \\\n    --hash=sha256:{digest}\n"
    assert '"plainstack-protos==1.1.0"' in (copy.application / "pyproject.toml").read_text()


def test_contracts_in_a_repository_of_their_own_are_released_alone(copy: Copy, tmp_path: Path) -> None:
    copy.add_field()
    alone = tmp_path / "elsewhere" / "contracts"
    shutil.copytree(copy.folder, alone)
    copy.folder = alone
    files, _ = release(copy.contracts, "1.1.0", TODAY)
    assert all(path.is_relative_to(alone) for path in files)


def test_another_comment_makes_a_patch(copy: Copy) -> None:
    copy.edit(PRODUCT, NAME, NAME.replace("One line", "One short line"))
    release(copy.contracts, "1.0.1", TODAY)
    assert copy.contracts.version == "1.0.1"


def test_a_breaking_change_makes_the_next_major_and_nothing_less(copy: Copy) -> None:
    copy.edit(PRODUCT, "string name = 2;", "int64 name = 2;")
    refused = refusal(copy, "1.1.0")
    assert "what may follow is 2.0.0, not 1.1.0" in str(refused)
    assert "FIELD_SAME_TYPE" in refused.faults[0]
    assert "shop.product.v2" in refused.faults[-1]
    _, changes = release(copy.contracts, "2.0.0", TODAY)
    assert [each.rule for each in changes.breaks] == ["FIELD_SAME_TYPE"]


def test_without_a_change_there_is_no_release(copy: Copy) -> None:
    assert "nothing has changed" in str(refusal(copy, "1.0.1"))


@pytest.mark.parametrize("version", ["1.0.0", "0.9.0"])
def test_versions_only_grow(copy: Copy, version: str) -> None:
    copy.add_field()
    assert "not higher" in str(refusal(copy, version))


def test_without_a_word_in_the_changelog_there_is_no_release(copy: Copy) -> None:
    copy.add_field()
    copy.edit("CHANGELOG.md", "- Something.\n", "")
    assert "nothing under '## Unreleased'" in str(refusal(copy, "1.1.0"))


def test_a_release_is_never_written_again(copy: Copy) -> None:
    copy.add_field()
    copy.contracts.wheel("1.1.0").touch()
    assert "exists already" in str(refusal(copy, "1.1.0"))


def test_what_is_against_the_rules_is_not_released(copy: Copy) -> None:
    copy.add_field()
    copy.edit(PRODUCT, "  // In grams.\n", "")
    assert "COMMENT_FIELD" in refusal(copy, "1.1.0").faults[0]


@pytest.mark.parametrize("obstacle", ["a folder that is not there", "a folder in its place"])
def test_of_several_files_all_are_written_or_none(tmp_path: Path, obstacle: str) -> None:
    old, new, bad = tmp_path / "old", tmp_path / "new", tmp_path / "bad"
    old.write_text("as it was")
    if obstacle == "a folder in its place":
        bad.mkdir()
    else:
        bad = bad / "file"
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OSError, match="bad"):
        write_together({old: b"changed", new: b"new", bad: b""})
    assert sorted(tmp_path.rglob("*")) == before
    assert old.read_text() == "as it was"


def test_the_same_contracts_make_the_same_bytes_anywhere(tmp_path: Path) -> None:
    made = []
    for name in ("one", "another folder"):
        (tmp_path / name).mkdir()
        contracts = Copy(tmp_path / name).contracts
        wheel = build_wheel(contracts, "1.0.0", tmp_path / name)
        made.append((wheel.read_bytes(), build_image(contracts)))
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("change", "versions"),
    [
        (Change.NOTHING, []),
        (Change.WORDING, ["1.2.4", "1.3.0", "2.0.0"]),
        (Change.ADDITION, ["1.3.0", "2.0.0"]),
        (Change.BREAKING, ["2.0.0"]),
    ],
)
def test_which_versions_fit_a_change(change: Change, versions: list[str]) -> None:
    assert list(map(str, fitting(Version(1, 2, 3), change))) == versions


@pytest.mark.parametrize("text", ["1.2", "1.2.3.4", "01.2.3", "1.2.x", "v1.2.3", "1.2.3 ", "1.2.3\n", ""])
def test_what_is_no_version(text: str) -> None:
    with pytest.raises(ValueError, match="not a version"):
        parse_version(text)


def test_versions_are_ordered_by_their_numbers() -> None:
    assert parse_version("1.9.0") < parse_version("1.10.0") < parse_version("2.0.0")
