"""Whatever is refused, abandoned, lost or late: a saga ends, with all of its effects or with none."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from shared.saga import (
    FEWEST_ATTEMPTS,
    FIRST_PAUSE_SECONDS,
    LAST_PAUSE_SECONDS,
    Entry,
    ImpossibleLog,
    Kind,
    Outcome,
    Saga,
    State,
    Step,
    pause_after,
)

DONE, REFUSED, ABANDONED = Outcome


@dataclass(frozen=True, slots=True)
class Named:
    """An action that is nothing but its name."""

    name: str


def saga_of(compensatable: int, retriable: int) -> Saga[Named]:
    """do0, do1, …; undo0, undo1, … are their compensations."""
    before = [
        Step(Named(f"do{each}"), Kind.COMPENSATABLE, Named(f"undo{each}"), patience=15.0)
        for each in range(compensatable)
    ]
    pivot = Step(Named(f"do{compensatable}"), Kind.PIVOT)
    after = [Step(Named(f"do{compensatable + each}"), Kind.RETRIABLE) for each in range(1, retriable + 1)]
    return Saga((*before, pivot, *after))


# A world in which everything happens


class Effect(Enum):
    """What a participant has to say about its step; it keeps that for ever."""

    NONE = auto()
    DONE = auto()
    REFUSED = auto()
    UNDONE = auto()  # also what has never been done, and will not be


class Participant:
    """Keeps the two promises of shared/saga.py."""

    def __init__(self, *, is_willing: bool) -> None:
        self._is_willing = is_willing
        self.effect = Effect.NONE

    def do(self) -> Outcome:
        if self.effect is Effect.NONE:
            self.effect = Effect.DONE if self._is_willing else Effect.REFUSED
        return DONE if self.effect is Effect.DONE else REFUSED

    def undo(self) -> None:
        if self.effect is not Effect.REFUSED:
            self.effect = Effect.UNDONE


class Move(Enum):
    """What can become of the action that comes next."""

    ANSWERED = auto()
    ANSWER_LOST = auto()  # also: whoever asked has died before the answer was written down
    ASKED_LATE = auto()  # it arrives at some time, or never
    ABANDONED = auto()  # though it has had its effect
    ABANDONED_LATE = auto()
    LATE_ARRIVES = auto()
    FORGOTTEN = auto()  # only the log is left


class World:
    """One saga, its log and its participants."""

    def __init__(self, saga: Saga[Named], unwilling: set[int]) -> None:
        self.saga = saga
        self.log: list[Entry] = []
        self.state: State[Named] = saga.state(())
        self.late: list[str] = []
        self.undone: list[int] = []
        self.participants = [
            Participant(is_willing=number not in unwilling or step.kind is Kind.RETRIABLE)
            for number, step in enumerate(saga.steps)
        ]

    def happens(self, move: Move) -> None:
        if move is Move.FORGOTTEN:
            self.state = self.saga.state(self.log)
        elif move is Move.LATE_ARRIVES:
            if self.late:
                self._carry_out(self.late.pop(0))
        elif self.state.next is not None:
            self._comes_next(self.state.next.name, move)

    def _comes_next(self, action: str, move: Move) -> None:
        is_abandoned = move in (Move.ABANDONED, Move.ABANDONED_LATE)
        if is_abandoned and not self.state.may_be_abandoned:
            return
        outcome = DONE
        if move in (Move.ASKED_LATE, Move.ABANDONED_LATE):
            self.late.append(action)
        else:
            outcome = self._carry_out(action)
        if is_abandoned:
            self._write(Entry(action, ABANDONED, "too slow"))
        elif move is Move.ANSWERED:
            self._write(Entry(action, outcome, "" if outcome is DONE else f"{action} is refused"))

    def _carry_out(self, action: str) -> Outcome:
        verb, number = action.rstrip("0123456789"), int(action.lstrip("doun"))
        if verb == "do":
            return self.participants[number].do()
        assert self._pivot.effect is not Effect.DONE, "there is no way back"
        self.participants[number].undo()
        if number not in self.undone:
            self.undone.append(number)
        return DONE

    def _write(self, entry: Entry) -> None:
        self.state = self.state.after(entry)
        self.log.append(entry)
        assert self.state == self.saga.state(self.log)

    @property
    def _pivot(self) -> Participant:
        kinds = [step.kind for step in self.saga.steps]
        return self.participants[kinds.index(Kind.PIVOT)]

    def ends(self) -> None:
        """From now on everybody answers."""
        most = 2 * len(self.saga.steps)
        while self.state.next is not None:
            self.happens(Move.ANSWERED)
            most -= 1
            assert most >= 0, "it does not end"
        while self.late:
            self.happens(Move.LATE_ARRIVES)


sagas = st.builds(saga_of, st.integers(0, 4), st.integers(0, 2))
moves = st.lists(st.sampled_from(Move), max_size=30)


@given(sagas, st.sets(st.integers(0, 4), max_size=2), moves)
def test_whatever_happens_a_saga_ends_with_all_or_nothing(
    saga: Saga[Named], unwilling: set[int], happening: list[Move]
) -> None:
    world = World(saga, unwilling)
    for move in happening:
        world.happens(move)
    world.ends()
    effects = {each.effect for each in world.participants}
    assert world.undone == sorted(world.undone, reverse=True)
    reasons = [entry.reason for entry in world.log if entry.reason]
    event("turned back" if reasons else "went through")
    if reasons:
        assert Effect.DONE not in effects
        assert reasons == [world.state.reason]
    else:
        assert effects == {Effect.DONE}
        assert world.undone == []


# What it does, step by step

TABLE = saga_of(2, 1)


def log_of(text: str) -> list[Entry]:
    """Actions with commas between them, each with its outcome unless it is done; others have a reason."""
    return [
        Entry(action, Outcome(outcome or "done"), outcome and "why")
        for action, _, outcome in (line.partition(" ") for line in text.split(", ") if line)
    ]


@pytest.mark.parametrize(
    ("log", "following"),
    [
        ("", "do0"),
        ("do0", "do1"),
        ("do0, do1", "do2"),
        ("do0, do1, do2", "do3"),
        ("do0, do1, do2, do3", None),
        ("do0 refused", None),
        ("do0 abandoned", "undo0"),
        ("do0 abandoned, undo0", None),
        ("do0, do1 refused", "undo0"),
        ("do0, do1 abandoned", "undo1"),
        ("do0, do1 abandoned, undo1", "undo0"),
        ("do0, do1, do2 refused", "undo1"),
        ("do0, do1, do2 refused, undo1, undo0", None),
    ],
)
def test_what_comes_next(log: str, following: str | None) -> None:
    found = TABLE.state(log_of(log)).next
    assert (found and found.name) == following


@pytest.mark.parametrize(
    ("log", "impossible"),
    [
        ("", "do1"),
        ("", "undo0"),
        ("do0", "do0"),
        ("do0", "undo0"),
        ("do0 refused", "undo0"),
        ("do0, do1 refused", "do2"),
        ("do0, do1 abandoned", "undo1 refused"),
        ("do0, do1 abandoned", "undo1 abandoned"),
        ("do0, do1 abandoned", "undo0"),
        ("do0, do1", "do2 abandoned"),
        ("do0, do1, do2", "do3 refused"),
        ("do0, do1, do2", "do3 abandoned"),
        ("do0, do1, do2", "undo1"),
        ("do0, do1, do2, do3", "do3"),
    ],
)
def test_a_log_that_no_run_has_written_is_impossible(log: str, impossible: str) -> None:
    (entry,) = log_of(impossible)
    state = TABLE.state(log_of(log))
    with pytest.raises(ImpossibleLog, match=entry.action):
        state.after(entry)


@pytest.mark.parametrize("outcome", [REFUSED, ABANDONED])
def test_who_turns_back_says_why(outcome: Outcome) -> None:
    with pytest.raises(ImpossibleLog):
        TABLE.state([Entry("do0", outcome)])


@pytest.mark.parametrize(
    ("log", "may_be"),
    [
        ("", True),
        ("do0", True),
        ("do0, do1", False),
        ("do0, do1, do2", False),
        ("do0, do1, do2, do3", False),
        ("do0 abandoned", False),
        ("do0, do1 refused", False),
    ],
)
def test_only_what_stands_before_the_pivot_is_abandoned_when_patience_ends(log: str, *, may_be: bool) -> None:
    state = TABLE.state(log_of(log))
    assert state.may_be_abandoned is may_be
    assert not any(state.gives_up_after(seconds, FEWEST_ATTEMPTS) for seconds in (0.0, 14.9))
    assert not state.gives_up_after(1e9, FEWEST_ATTEMPTS - 1)
    assert [state.gives_up_after(seconds, FEWEST_ATTEMPTS) for seconds in (15.0, 1e9)] == [may_be, may_be]


@pytest.mark.parametrize(
    "steps",
    [
        [],
        [Step(Named("a"), Kind.COMPENSATABLE, Named("b"))],
        [Step(Named("a"), Kind.PIVOT), Step(Named("b"), Kind.PIVOT)],
        [Step(Named("a"), Kind.PIVOT), Step(Named("b"), Kind.COMPENSATABLE, Named("c"))],
        [Step(Named("a"), Kind.RETRIABLE), Step(Named("b"), Kind.PIVOT)],
        [Step(Named("a"), Kind.COMPENSATABLE), Step(Named("b"), Kind.PIVOT)],
        [Step(Named("a"), Kind.PIVOT, Named("b"))],
        [Step(Named("a"), Kind.PIVOT), Step(Named("b"), Kind.RETRIABLE, Named("c"))],
        [Step(Named("a"), Kind.PIVOT), Step(Named("a"), Kind.RETRIABLE)],
        [Step(Named("a"), Kind.COMPENSATABLE, Named("a")), Step(Named("b"), Kind.PIVOT)],
    ],
    ids=[
        "empty",
        "no pivot",
        "two pivots",
        "compensatable behind the pivot",
        "retriable before it",
        "no compensation",
        "one of the pivot",
        "one of what is retriable",
        "two commands alike",
        "a compensation like its command",
    ],
)
def test_a_table_that_is_no_sagas_is_refused(steps: Sequence[Step[Named]]) -> None:
    with pytest.raises(ValueError, match=r"stands before|have a compensation|the same name"):
        Saga(tuple(steps))


# Pauses


@given(st.integers(1, 10**6), st.floats(0.0, 1.0))
def test_pauses_grow_up_to_a_limit_and_are_spread(attempts: int, chance: float) -> None:
    pause = pause_after(attempts, chance)
    assert FIRST_PAUSE_SECONDS / 2 <= pause <= LAST_PAUSE_SECONDS
    assert pause_after(attempts, 0.0) <= pause <= pause_after(attempts, 1.0) == 2 * pause_after(attempts, 0.0)
    assert pause <= pause_after(attempts + 1, chance) <= 2 * pause


def test_the_first_pauses_double_and_the_last_do_not() -> None:
    assert [pause_after(attempts, 1.0) for attempts in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert pause_after(8, 1.0) == pause_after(10**9, 1.0) == LAST_PAUSE_SECONDS
