import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.config import ConfigError
from shared.proxy.toml_file import FaultyFile, File, Table, line_of

TEXT = '''# a comment with fake = 1
listen = ":1"

[upstream.product]
targets = [
  "http://a:1",  # fake = 2
  "http://b:1",
]
note = """
fake = 3
[fake]
"""

[[route]]
prefix = "/a"

[[route]]
prefix = "/b"
timeouts = { head_seconds = 1, idle_seconds = 2 }
[route.more]
key = 1
'''


@pytest.mark.parametrize(
    ("key", "line"),
    [
        (("listen",), 2),
        (("upstream", "product"), 4),
        (("upstream", "product", "targets"), 5),
        (("upstream", "product", "targets", 1), 5),
        (("upstream", "product", "missing"), 4),
        (("upstream", "product", "note"), 9),
        (("route", 0), 14),
        (("route", 0, "prefix"), 15),
        (("route", 1, "prefix"), 18),
        (("route", 1, "upstream"), 17),
        (("route", 1, "timeouts", "idle_seconds"), 19),
        (("route", 1, "more", "key"), 21),
        (("fake",), 1),
    ],
)
def test_the_line_of_a_key(key: Sequence[str | int], line: int) -> None:
    assert line_of(TEXT, key) == line


def file_of(tmp_path: Path, text: str, **variables: str) -> File:
    path = tmp_path / "some.toml"
    path.write_text(text)
    return File(path, variables.get)


def faults_of(file: File) -> list[tuple[int, str, str]]:
    with pytest.raises(FaultyFile) as raised:
        file.refuse_faults()
    return [(fault.line, fault.key, fault.detail) for fault in raised.value.faults]


def test_values_come_out_typed(tmp_path: Path) -> None:
    file = file_of(tmp_path, 'a = "x"\nb = 3\nc = 1.5\nd = true\ne = ["p", "q"]\nf = 2\n[g]\n')
    root = file.root
    assert (root.text("a"), root.integer("b", 0), root.seconds("c", 9.0)) == ("x", 3, 1.5)
    assert (root.flag("d"), root.texts("e"), root.seconds("f", 9.0)) == (True, ("p", "q"), 2.0)
    assert isinstance(root.table("g"), Table)
    root.done()
    file.refuse_faults()


def test_defaults(tmp_path: Path) -> None:
    root = file_of(tmp_path, "").root
    assert (root.text("a", "d"), root.integer("b", 7), root.seconds("c", 9.0)) == ("d", 7, 9.0)
    assert (root.flag("d"), root.texts("e"), root.tables("f")) == (False, (), [])


def test_variables(tmp_path: Path) -> None:
    text = 'a = "${A}:${B}"\nn = "${N}"\nf = "${F}"\nl = ["${A}"]\nplain = "$A {A}"\n'
    root = file_of(tmp_path, text, A="x", B="y", N="42", F="true").root
    assert (root.text("a"), root.integer("n", 0), root.flag("f")) == ("x:y", 42, True)
    assert (root.texts("l"), root.text("plain")) == (("x",), "$A {A}")


def test_every_fault_is_named_in_order(tmp_path: Path) -> None:
    file = file_of(
        tmp_path, 'z = 1\na = 5\nb = "three"\nc = -1\nd = "no"\ne = [1]\nf = "${GONE}"\ng = true\nh = ""\n'
    )
    root = file.root
    root.seconds("missing-is-fine", 1.0)
    root.integer("c", 0)
    root.text("a")
    root.integer("b", 0)
    root.flag("d")
    root.texts("e")
    root.text("f", "")
    root.integer("g", 0)
    root.text("h")
    root.text("required")
    root.done()
    assert faults_of(file) == [
        (1, "required", "is required"),
        (1, "z", "is not a key that is known here"),
        (2, "a", "must be a text"),
        (3, "b", "must be a whole number"),
        (4, "c", "must not be negative"),
        (5, "d", "must be true or false"),
        (6, "e", "must be a list of texts"),
        (7, "f", "${GONE} is not set in the environment"),
        (8, "g", "must be a whole number"),
        (9, "h", "must not be empty"),
    ]


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "1e9"])
def test_impossible_durations(tmp_path: Path, value: str) -> None:
    file = file_of(tmp_path, f"t = {value}")
    file.root.seconds("t", 1.0)
    assert faults_of(file)[0][:2] == (1, "t")


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = \nc = 3", 2), ("a = 1\na = 2\n", 2), ('a = 1\nb = "x', 2)]
)
def test_what_is_no_toml(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(FaultyFile) as raised:
        file_of(tmp_path, text)
    assert [fault.line for fault in raised.value.faults] == [line]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        File(tmp_path / "none.toml", lambda _: None)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        File(tmp_path / "binary.toml", lambda _: None)


KEYS = st.text(alphabet="abc", min_size=1, max_size=2)
VALUES = st.one_of(st.integers().map(str), st.just('"""\nx = 1\n"""'), st.just("[\n1,\n\n2 # a = 9\n]"))


@given(st.dictionaries(KEYS, VALUES, min_size=1), st.data())
def test_any_key_is_found_on_the_line_where_it_is_set(document: dict[str, str], data: st.DataObject) -> None:
    lines: list[str] = []
    set_on: dict[str, int] = {}
    for key, value in document.items():
        lines += ["", "# comment"] * data.draw(st.integers(0, 1))
        set_on[key] = len(lines) + 1
        lines += f"{key} = {value}".split("\n")
    text = "\n".join(lines)
    parsed: dict[str, Any] = tomllib.loads(text)
    for key in parsed:
        expected = set_on[key]
        # The comment before a statement parses on its own, so the statement begins exactly at its key.
        assert line_of(text, (key,)) == expected
