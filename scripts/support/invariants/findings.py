"""What was looked at, and what was found wrong."""

from dataclasses import dataclass

SHOWN = 3  # examples of what is wrong: one is where a search begins, a thousand help nobody


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must always hold: how many were looked at, how many were wrong, and some of those."""

    what: str
    looked_at: int
    wrong: int = 0
    examples: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether it holds."""
        return not self.wrong


class Tally:
    """A finding that is being made."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._looked_at = 0
        self._wrong = 0
        self._examples: list[str] = []

    def look_at(self, count: int = 1) -> None:
        """So many more were looked at."""
        self._looked_at += count

    def blame(self, fault: str) -> None:
        """One of those was wrong."""
        self._wrong += 1
        if len(self._examples) < SHOWN:
            self._examples.append(fault)

    def finding(self) -> Finding:
        """What was found so far."""
        return Finding(self._what, self._looked_at, self._wrong, tuple(self._examples))
