"""What a field must obey, said as functions, and all that is wrong told at once (pure)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from shared.errors import FieldError, Invalid

Rule = Callable[[Any], str | None]  # says what is wrong with a value, or None


def check(values: Iterable[tuple[str, object]], rules: Mapping[str, Rule]) -> None:
    """Raises Invalid, naming every one of `values` (dotted path and value) that breaks its rule."""
    faults = ((path, rules[path](value)) for path, value in values)
    errors = tuple(FieldError(path, fault) for path, fault in faults if fault is not None)
    if errors:
        raise Invalid("Some fields are not acceptable.", errors)
