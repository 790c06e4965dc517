"""Sagas: one change in several services, which share no transaction (Garcia-Molina and Salem, 1987).

Pure: what has happened so far goes in, what is to be done next comes out. No I/O, no clock, no randomness.

A saga is a list of steps, done one after the other. Its steps stand in this order:

COMPENSATABLE  has a compensation, which undoes it or makes sure that it never happens
PIVOT          decides: once it is done, there is no way back
RETRIABLE      cannot be refused, and is tried until it is done

What becomes of a command, or of a compensation, is written down in the saga's log:

DONE       it has taken effect
REFUSED    it has not taken effect, and never will: its participant has decided so for good
ABANDONED  nobody knows, and we wait no longer; before the pivot only

A step that is refused or abandoned turns the saga back: what has been done is compensated, the latest first,
beginning with the abandoned step itself. So whoever takes part must do two things. A command that comes
again, under the same key, takes effect once and is answered as before. A compensation that comes before its
command makes sure that the command, should it still come, has no effect.

The pivot and what stands behind it is never abandoned, nor is a compensation: they are tried again until they
are answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

FIRST_PAUSE_SECONDS, LAST_PAUSE_SECONDS = 0.1, 10.0  # between attempts, doubling
FEWEST_ATTEMPTS = 6  # which take some seconds, whoever has been away or started late


class ImpossibleLog(Exception):
    """A log that no run of this saga can have written."""


class Kind(StrEnum):
    """What a step is to its saga."""

    COMPENSATABLE = "compensatable"
    PIVOT = "pivot"
    RETRIABLE = "retriable"


class Outcome(StrEnum):
    """What has become of a command or a compensation."""

    DONE = "done"
    REFUSED = "refused"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a saga's log. `reason` says why it was refused or abandoned."""

    action: str
    outcome: Outcome
    reason: str = ""


Log = tuple[Entry, ...]


class Action(Protocol):
    """A command or a compensation; how it is carried out is not the engine's business."""

    @property
    def name(self) -> str:
        """What the log calls it. No two actions of a saga have the same."""


A = TypeVar("A", bound=Action)


@dataclass(frozen=True, slots=True)
class Step(Generic[A]):
    """One row of a saga's table. Unanswered for `patience` seconds, a compensatable step is abandoned.

    But not before FEWEST_ATTEMPTS: nobody may have tried for all of that time.
    """

    command: A
    kind: Kind
    compensation: A | None = None
    patience: float = 0.0


@dataclass(frozen=True, slots=True)
class State(Generic[A]):
    """Where a saga stands. `ahead` is what is still to be done, `behind` what would have to be undone.

    `reason` says why it has turned back; while it goes forward, there is none.
    """

    ahead: tuple[Step[A], ...]
    behind: tuple[Step[A], ...] = ()
    reason: str = ""

    @property
    def next(self) -> A | None:
        """The command or compensation that is to be carried out; None once the saga has ended."""
        if self.reason:
            return self.behind[-1].compensation if self.behind else None
        return self.ahead[0].command if self.ahead else None

    @property
    def may_be_abandoned(self) -> bool:
        """Whether there is a way back, from a command whose outcome is unknown."""
        return not self.reason and bool(self.ahead) and self.ahead[0].kind is Kind.COMPENSATABLE

    def gives_up_after(self, seconds: float, attempts: int) -> bool:
        """Whether what is next, unanswered for so long and so often, is abandoned; else it is tried again."""
        if not self.may_be_abandoned or attempts < FEWEST_ATTEMPTS:
            return False
        return seconds >= self.ahead[0].patience

    def after(self, entry: Entry) -> "State[A]":
        """Where the saga stands when `entry` has been added to its log. Raises ImpossibleLog."""
        action = self.next
        if action is None or action.name != entry.action:
            raise ImpossibleLog(f"{entry.action} is not what comes next")
        if self.reason:
            return self._undone(entry)
        return self._advanced() if entry.outcome is Outcome.DONE else self._turned_back(entry)

    def _advanced(self) -> "State[A]":
        step = self.ahead[0]
        behind = (*self.behind, step) if step.kind is Kind.COMPENSATABLE else ()
        return replace(self, ahead=self.ahead[1:], behind=behind)

    def _turned_back(self, entry: Entry) -> "State[A]":
        step = self.ahead[0]
        is_abandoned = entry.outcome is Outcome.ABANDONED
        if step.kind is Kind.RETRIABLE or (is_abandoned and not self.may_be_abandoned) or not entry.reason:
            raise ImpossibleLog(f"{entry.action}, {step.kind}, cannot be {entry.outcome}: {entry.reason!r}")
        behind = (*self.behind, step) if is_abandoned else self.behind
        return replace(self, behind=behind, reason=entry.reason)

    def _undone(self, entry: Entry) -> "State[A]":
        if entry.outcome is not Outcome.DONE:
            raise ImpossibleLog(f"{entry.action}, a compensation, cannot be {entry.outcome}")
        return replace(self, behind=self.behind[:-1])


@dataclass(frozen=True)
class Saga(Generic[A]):
    """A saga's table. Raises ValueError when it has no pivot or its steps do not stand in their order."""

    steps: tuple[Step[A], ...]

    def __post_init__(self) -> None:
        kinds = [step.kind for step in self.steps]
        if kinds != sorted(kinds, key=list(Kind).index) or kinds.count(Kind.PIVOT) != 1:
            raise ValueError("what is compensatable stands before one pivot, what is retriable behind it")
        if any((step.compensation is not None) != (step.kind is Kind.COMPENSATABLE) for step in self.steps):
            raise ValueError("compensatable steps have a compensation, and no others have")
        names = [action.name for step in self.steps for action in (step.command, step.compensation) if action]
        if len(set(names)) != len(names):
            raise ValueError("two actions have the same name")

    def state(self, log: Sequence[Entry]) -> State[A]:
        """Where a saga with this log stands. Raises ImpossibleLog."""
        state = State(self.steps)
        for entry in log:
            state = state.after(entry)
        return state


def pause_after(attempts: int, chance: float) -> float:
    """Seconds until the next try, after so many in vain; `chance`, from 0 to 1, spreads those of many."""
    doubled: float = FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 16)
    return min(LAST_PAUSE_SECONDS, doubled) * (0.5 + chance / 2)
