"""Reading a TOML file into typed values, so that every fault is named at once, by line and key.

`Table` hands out one value after the other. What is wrong is noted and replaced by the default, so that the
reader goes on and finds the rest; `File.refuse_faults` raises in the end.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from shared.config import ConfigError

Key = str | int
Value = TypeVar("Value", str, int, float, bool)

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_AT_LINE = re.compile(r"at line (\d+)")
_LONGEST_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong at which key; the line counts from 1."""

    line: int
    key: str
    detail: str


class FaultyFile(ConfigError):
    """A file that cannot be used; its text has one line for each fault."""

    def __init__(self, path: Path, faults: Sequence[Fault]) -> None:
        super().__init__(faults[0].key, faults[0].detail)
        self.faults = tuple(faults)
        self._path = path

    def __str__(self) -> str:
        return "\n".join(f"{self._path}:{each.line}: {each.key}: {each.detail}" for each in self.faults)


class File:
    """A parsed file. `variable` gives the value of a `${NAME}`, or None."""

    def __init__(self, path: Path, variable: Callable[[str], str | None]) -> None:
        """Raises ConfigError when the file cannot be read, FaultyFile when it is no TOML."""
        self._path = path
        self._variable = variable
        self._faults: dict[tuple[Key, ...], str] = {}
        try:
            self._text = path.read_text(encoding="utf-8")
            self.root = Table(self, (), tomllib.loads(self._text))
        except OSError as unreadable:
            raise ConfigError(str(path), f"cannot be read: {unreadable.strerror}") from None
        except UnicodeDecodeError:
            raise ConfigError(str(path), "is not UTF-8") from None
        except tomllib.TOMLDecodeError as broken:
            at = _AT_LINE.search(str(broken))
            line = int(at[1]) if at else self._text.count("\n") + 1
            raise FaultyFile(path, [Fault(line, "TOML", str(broken))]) from None

    def note(self, key: tuple[Key, ...], detail: str) -> None:
        """Something is wrong at `key`. Of several faults of one value the first explains the others."""
        self._faults.setdefault(key, detail)

    def refuse_faults(self) -> None:
        """Raises FaultyFile when anything is wrong, in the order of lines."""
        faults = [
            Fault(line_of(self._text, key), _dotted(key), detail) for key, detail in self._faults.items()
        ]
        if faults:
            raise FaultyFile(self._path, sorted(faults, key=lambda fault: fault.line))

    def expand(self, key: tuple[Key, ...], text: str) -> str:
        """`text` with every `${NAME}` replaced."""

        def value_of(match: re.Match[str]) -> str:
            value = self._variable(match[1])
            if value is None:
                self.note(key, f"{match[0]} is not set in the environment")
            return value or ""

        return _VARIABLE.sub(value_of, text)


class Table:
    """One table of a file. Each method takes a value out; `done` complains about what nobody asked for."""

    def __init__(self, file: File, key: tuple[Key, ...], values: dict[str, Any]) -> None:
        self._file = file
        self._values = values
        self.key = key

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def note(self, key: str, detail: str) -> None:
        """Something is wrong with the value of `key`."""
        self._file.note((*self.key, key), detail)

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; without `default` it is required."""
        value = self._value(key, str, "a text", default)
        if value == "" and default != "":
            self.note(key, "must not be empty")
        return value

    def choice(self, key: str, default: str, choices: Sequence[str]) -> str:
        """One of `choices`."""
        value = self.text(key, default)
        if value not in choices:
            self.note(key, f"must be one of {', '.join(choices)}, not {value!r}")
            return default
        return value

    def integer(self, key: str, default: int) -> int:
        """A whole number, 0 or more."""
        value = self._value(key, int, "a whole number", default)
        if value < 0:
            self.note(key, "must not be negative")
        return value

    def seconds(self, key: str, default: float) -> float:
        """A duration above 0, of at most a day."""
        value = self._value(key, float, "a number of seconds", default)
        if not 0 < value <= _LONGEST_SECONDS:  # NaN fails this too
            self.note(key, f"must be above 0 and at most {_LONGEST_SECONDS:g} seconds")
        return value

    def flag(self, key: str) -> bool:
        """True or false; false by default."""
        return self._value(key, bool, "true or false", default=False)

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts, empty by default."""
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            self.note(key, "must be a list of texts")
            return ()
        return tuple(self._file.expand((*self.key, key), value) for value in values)

    def table(self, key: str) -> "Table":
        """`[key]`, empty by default."""
        values = self._values.pop(key, {})
        if not isinstance(values, dict):
            self.note(key, "must be a table")
            values = {}
        return Table(self._file, (*self.key, key), values)

    def tables(self, key: str) -> "list[Table]":
        """Every `[[key]]`."""
        values = self._values.pop(key, [])
        if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
            self.note(key, f"must be written as [[{key}]]")
            return []
        return [Table(self._file, (*self.key, key, index), value) for index, value in enumerate(values)]

    def children(self) -> "Iterator[tuple[str, Table]]":
        """Every `[key.NAME]` of this table with its name."""
        for name in list(self._values):
            yield name, self.table(name)

    def done(self) -> None:
        """All keys that this table may have were asked for."""
        for key in self._values:
            self.note(key, "is not a key that is known here")

    def _value(self, key: str, kind: type[Value], description: str, default: Value | None) -> Value:
        if key not in self._values:
            if default is None:
                self._file.note((*self.key, key), "is required")
            return kind() if default is None else default
        value = self._values.pop(key)
        if isinstance(value, str):
            expanded = self._file.expand((*self.key, key), value)
            is_variable = _VARIABLE.fullmatch(value) is not None
            value = _literal(expanded, kind) if is_variable and kind is not str else expanded
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind:  # exactly: True is an int
            self.note(key, f"must be {description}")
            return kind() if default is None else default
        return value


def line_of(text: str, key: Sequence[Key]) -> int:
    """The line on which the statement begins that sets `key`, or else what encloses it.

    The parser knows no positions. But a file cut off after any of its statements is a file too: the first
    piece that has the key ends with its statement, and the piece before that ends where the statement begins.
    """
    while key:
        begun = 0
        lines = text.split("\n")
        for count in range(1, len(lines) + 1):
            try:
                piece = tomllib.loads("\n".join(lines[:count]))
            except tomllib.TOMLDecodeError:
                continue  # in the middle of a value
            if _has(piece, key):
                return begun + 1
            begun = count
        key = key[:-1]
    return 1


def _has(value: Any, key: Sequence[Key]) -> bool:
    for part in key:
        if isinstance(part, int):
            if not isinstance(value, list) or part >= len(value):
                return False
        elif not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True


def _dotted(key: Sequence[Key]) -> str:
    """The key as the file spells it: which of several `[[route]]` is meant, the line tells."""
    return ".".join(part for part in key if isinstance(part, str))


def _literal(text: str, kind: type[str | int | float | bool]) -> Any:
    """What a variable's text means as a number or truth value; the text itself when it means none."""
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    try:
        return kind(text)
    except ValueError:
        return text
