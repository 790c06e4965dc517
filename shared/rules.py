"""What a field must obey, said as functions, and all that is wrong told at once (pure)."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.errors import FieldError, Invalid

_INDEX = re.compile(r"\[[0-9]+\]")

Rule = Callable[[Any], str | None]  # says what is wrong with a value, or None


def rule_of(path: str, rules: Mapping[str, Rule]) -> Rule | None:
    """The rule for the field at `path`: that of `items[2].quantity` goes by the name `items[].quantity`."""
    return rules.get(_INDEX.sub("[]", path))


def check(values: Iterable[tuple[str, object]], rules: Mapping[str, Rule]) -> None:
    """Raises Invalid, naming every one of `values` (dotted path and value) that breaks its rule."""
    faults = ((path, _fault(path, value, rules)) for path, value in values)
    refuse(FieldError(path, fault) for path, fault in faults if fault is not None)


def refuse(errors: Iterable[FieldError], detail: str = "Some fields are not acceptable.") -> None:
    """Raises Invalid, naming all `errors`, if there are any."""
    if named := tuple(errors):
        raise Invalid(detail, named)


def _fault(path: str, value: object, rules: Mapping[str, Rule]) -> str | None:
    rule = rule_of(path, rules)
    if rule is None:
        raise KeyError(path)  # nobody has said what this field must obey
    return rule(value)
