"""From the fields of a message to typed values; every bad one is named (pure)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.errors import FieldError
from shared.ids import parse_id
from shared.rules import refuse

MOST_IDS = 100  # in one field; what the contracts say


def read_id(path: str, text: str) -> UUID:
    """The UUID in the field `path`. Raises Invalid."""
    return _parse({path: text})[0]


def read_ids(path: str, texts: Sequence[str]) -> list[UUID]:
    """The UUIDs in the repeated field `path`, MOST_IDS at most. Raises Invalid, naming every bad one."""
    if len(texts) > MOST_IDS:
        refuse([FieldError(path, f"Must be at most {MOST_IDS}, not {len(texts)}")])
    return _parse({f"{path}[{number}]": text for number, text in enumerate(texts)})


def _parse(texts: Mapping[str, str]) -> list[UUID]:
    found = {path: parse_id(text) for path, text in texts.items()}
    refuse(FieldError(path, "Must be a UUID") for path, identifier in found.items() if identifier is None)
    return [identifier for identifier in found.values() if identifier is not None]
