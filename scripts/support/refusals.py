"""Which processes cannot use their settings: PLAINSTACK_HOME/refused/NAME holds what one said in the end.

`keep` writes them, and `up` gives up on the first it sees while it waits for all to be ready.
"""

from contextlib import suppress
from pathlib import Path


class Refusals:
    """The refusals of one PLAINSTACK_HOME, by the names that honcho gives: auth.1."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "refused"

    def write(self, name: str, line: str) -> None:
        """`name` has ended because of a setting; `line` is the last of its standard error. Atomic."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{name}"
        draft.write_text(line)
        draft.replace(self._folder / name)

    def remove(self, name: str) -> None:
        """`name` starts again, perhaps with better settings."""
        (self._folder / name).unlink(missing_ok=True)

    def first(self) -> str:
        """One line about one process, whose name it begins with; empty when none has refused."""
        for path in self._paths():
            with suppress(FileNotFoundError):  # it has just started again
                process, line = path.name.rpartition(".")[0], path.read_text()
                return line if line.startswith(f"{process}: ") else f"{process}: {line}"
        return ""

    def forget(self) -> None:
        """Of another run's refusals nothing shall be left."""
        for path in self._paths():
            path.unlink(missing_ok=True)

    def _paths(self) -> list[Path]:
        return sorted(self._folder.glob("[!.]*"))
