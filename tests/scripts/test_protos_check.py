"""`./scripts/protos check`: what may not be merged, and what it says about it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.support.failures import SetupError
from scripts.support.protos import tools
from scripts.support.protos.buf import breaks, lint
from scripts.support.protos.check import check
from scripts.support.protos.folder import read_contracts
from shared.config import CHECKOUT
from tests.scripts.contract_copies import ARCHIVED, NAME, PRODUCT, Copy

INVENTORY, EVENTS = "shop/inventory/v1/inventory.proto", "shop/product/v1/events.proto"
GET_STOCK = """\
  // The stock of the given products; one that has never had any is missing in the answer.
  rpc GetStock(GetStockRequest) returns (GetStockResponse) {
    option idempotency_level = NO_SIDE_EFFECTS;
  }
"""


def protos(
    *arguments: str | Path, directory: Path = CHECKOUT, **settings: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: PLW1510 - the tests look at the status
        [sys.executable, "-m", "scripts.support.protos", *arguments],
        env={**os.environ, "PYTHONPATH": str(CHECKOUT), **settings},
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_the_committed_contracts_are_released() -> None:
    done = protos("check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("protos: plainstack-protos ")


@pytest.mark.parametrize(
    ("file", "old", "new", "rule", "named"),
    [
        (PRODUCT, "string name = 2;", "int64 name = 2;", "FIELD_SAME_TYPE", '"name"'),
        (PRODUCT, "string name = 2;", "string title = 2;", "FIELD_SAME_NAME", '"title"'),
        (PRODUCT, "string name = 2;", "string name = 22;", "FIELD_NO_DELETE", '"name"'),
        (PRODUCT, ARCHIVED, "", "FIELD_NO_DELETE", '"archived"'),
        (PRODUCT, "repeated string product_ids = 1;", "string product_ids = 1;", "FIELD_", '"product_ids"'),
        (INVENTORY, GET_STOCK, "", "RPC_NO_DELETE", '"GetStock"'),
        (INVENTORY, "OUTCOME_NOT_RESERVED = 4;", "OUTCOME_UNKNOWN = 4;", "ENUM_VALUE_", "NOT_RESERVED"),
        (
            EVENTS,
            "message ProductArchived {",
            "message ProductGone {",
            "MESSAGE_NO_DELETE",
            '"ProductArchived"',
        ),
    ],
)
def test_what_breaks_clients_is_named(
    copy: Copy, file: str, old: str, new: str, rule: str, named: str
) -> None:
    copy.edit(file, old, new)
    found = breaks(copy.contracts, copy.contracts.image("1.0.0"))[-1]
    assert found.rule.startswith(rule)
    assert named in found.message
    assert str(found).startswith(f"{file}:{found.line}: {rule}")


def test_a_breaking_change_is_refused(copy: Copy) -> None:
    copy.edit(PRODUCT, "string name = 2;", "int64 name = 2;")
    done = protos("--folder", copy.folder, "check")
    line = copy.read(PRODUCT).splitlines().index("  int64 name = 2;") + 1
    said, advice = done.stderr.splitlines()
    assert done.returncode == 1
    assert said.startswith(f'protos: {PRODUCT}:{line}: FIELD_SAME_TYPE: Field "2" with name "name"')
    assert "shop.product.v2" in advice


def test_a_file_may_not_go(copy: Copy) -> None:
    (copy.folder / "shop/chat/v1/events.proto").unlink()
    said, _ = check(copy.contracts)
    assert said.startswith("FILE_NO_DELETE: ")
    assert "shop/chat/v1/events.proto" in said


def test_an_addition_breaks_nothing_and_has_to_be_released(copy: Copy) -> None:
    copy.add_field()
    assert check(copy.contracts) == [
        f"there are additions since 1.0.0 ({PRODUCT}): ./scripts/protos release 1.1.0"
    ]


def test_another_comment_has_to_be_released(copy: Copy) -> None:
    copy.edit(PRODUCT, NAME, NAME.replace("One line", "One short line"))
    (said,) = check(copy.contracts)
    assert "comments" in said
    assert "shop/product/v1/product_pb2.pyi" in said
    assert said.endswith("./scripts/protos release 1.0.1")


@pytest.mark.parametrize(
    ("file", "comment", "rule"),
    [
        (PRODUCT, "  // No longer on offer.\n", "COMMENT_FIELD"),
        (PRODUCT, "// The products that there are.\n", "COMMENT_MESSAGE"),
        (PRODUCT, "// The catalogue, as other services ask for it.\n", "COMMENT_SERVICE"),
        (INVENTORY, "  // The goods leave the stock for good.\n", "COMMENT_RPC"),
        (INVENTORY, "// How a Commit ends.\n", "COMMENT_ENUM"),
        (INVENTORY, "  // There is no such reservation, or it was refused.\n", "COMMENT_ENUM_VALUE"),
    ],
)
def test_whatever_has_no_comment_is_named(copy: Copy, file: str, comment: str, rule: str) -> None:
    copy.edit(file, comment, "")
    (found,) = lint(copy.contracts)
    assert (found.rule, found.path) == (rule, file)


def test_what_is_not_formatted_is_shown(copy: Copy) -> None:
    copy.edit(PRODUCT, "  bool archived", "    bool archived")
    (said,) = check(copy.contracts)
    assert "-    bool archived = 6;\n+  bool archived = 6;" in said
    assert "buf format -w" in said


def test_of_a_file_that_makes_no_sense_nothing_else_is_said(copy: Copy) -> None:
    copy.edit(PRODUCT, "message Product {", "mesage Product {")
    said = check(copy.contracts)
    assert any(line.startswith(f"{PRODUCT}:") for line in said)
    assert all("COMPILE" in line for line in said)


def test_the_version_is_not_moved_by_hand(copy: Copy) -> None:
    copy.edit("pyproject.toml", 'version = "1.0.0"', 'version = "1.1.0"')
    with pytest.raises(SetupError, match=r"says 1\.1\.0, but the last release is 1\.0\.0"):
        check(copy.contracts)


@pytest.mark.parametrize(("suffix", "said"), [(".whl", "is missing"), (".binpb", "nothing is released")])
def test_a_release_that_is_gone_is_missed(copy: Copy, suffix: str, said: str) -> None:
    next(copy.contracts.releases.glob(f"*{suffix}")).unlink()
    with pytest.raises(SetupError, match=said):
        check(copy.contracts)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("chek",), "chek"),
        (("release",), "X.Y.Z"),
        (("release", "1.1"), "three numbers"),
        (("clients", "cobol", "out"), "cobol"),
        (("--folder", "docs", "check"), "no contracts in docs"),
    ],
)
def test_wrong_usage_is_one_line(arguments: tuple[str, ...], said: str) -> None:
    done = protos(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PROGRAMS", tmp_path)
    with pytest.raises(SetupError, match=r"^buf, .* missing.*\./scripts/check") as failure:
        tools.check_tools()
    assert failure.value.status == 2


def test_python_sources_go_where_the_caller_stands(tmp_path: Path) -> None:
    done = protos("generate", "out", CALLED_FROM=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out/shop/product/v1/product_pb2.py").exists()


def test_a_folder_that_is_not_there_holds_no_contracts(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no contracts"):
        read_contracts(tmp_path / "nowhere")
