"""How it is told where a saga stands."""

from collections.abc import Mapping

from scripts.support.saga.standings import Standing
from services.order.saga import ORDER_SAGA
from shared.saga import ImpossibleLog, Log

_UNITS = ((3600.0, "h"), (60.0, "min"))


def _kinds() -> dict[str, str]:
    """What each command and each compensation is to its saga."""
    kinds = {step.command.name: str(step.kind) for step in ORDER_SAGA.steps}
    return kinds | {
        step.compensation.name: f"undoes {step.command.name}"
        for step in ORDER_SAGA.steps
        if step.compensation
    }


KINDS: Mapping[str, str] = _kinds()


def next_in_words(log: Log) -> str:
    """The name of what comes next; empty once the saga has ended."""
    try:
        action = ORDER_SAGA.state(log).next
    except ImpossibleLog as impossible:
        return f"(no such log can be: {impossible})"
    return "" if action is None else action.name


def direction_in_words(log: Log) -> str:
    """Where a saga is going, and whether it can still turn back."""
    try:
        state = ORDER_SAGA.state(log)
    except ImpossibleLog:
        return "nowhere"
    if state.reason:
        return f"back, because of {state.reason}"
    return "forward, and may turn back" if state.may_be_abandoned else "forward, with no way back any more"


def problem_in_words(standing: Standing) -> str:
    """Why a saga still waits."""
    if standing.problem:
        return standing.problem
    is_left_alone = standing.due_in is not None and standing.due_in < 0
    return "nobody has taken it up yet" if is_left_alone else "no answer yet"


def span(seconds: float) -> str:
    """A duration: 4.2 s, 3.5 min, 1.2 h."""
    for length, unit in _UNITS:
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def due_in_words(due_in: float | None) -> str:
    """When anybody may take a saga up; empty once it has ended."""
    if due_in is None:
        return ""
    return "now" if due_in <= 0 else f"in {span(due_in)}"
