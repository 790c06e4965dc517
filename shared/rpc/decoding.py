"""From the fields of a message to typed values; every bad one is named (pure)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.errors import FieldError, Invalid
from shared.ids import parse_id

MOST_IDS = 100  # in one field; what the contracts say


def read_id(path: str, text: str) -> UUID:
    """The UUID in the field `path`. Raises Invalid."""
    return _parse({path: text})[0]


def read_ids(path: str, texts: Sequence[str]) -> list[UUID]:
    """The UUIDs in the repeated field `path`, MOST_IDS at most. Raises Invalid, naming every bad one."""
    if len(texts) > MOST_IDS:
        raise _refusal({path: f"Must be at most {MOST_IDS}, not {len(texts)}"})
    return _parse({f"{path}[{number}]": text for number, text in enumerate(texts)})


def _parse(texts: Mapping[str, str]) -> list[UUID]:
    found = {path: parse_id(text) for path, text in texts.items()}
    bad = {path: "Must be a UUID" for path, identifier in found.items() if identifier is None}
    if bad:
        raise _refusal(bad)
    return [identifier for identifier in found.values() if identifier is not None]


def _refusal(faults: Mapping[str, str]) -> Invalid:
    errors = tuple(FieldError(path, fault) for path, fault in faults.items())
    return Invalid("Some fields are not acceptable.", errors)
