"""From the fields of a message to typed values; every bad one is named (pure)."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from shared.errors import FieldError
from shared.ids import parse_id
from shared.rules import refuse

MOST_IDS = 100  # in one field, unless the contract says otherwise


def read_id(path: str, text: str) -> UUID:
    """The UUID in the field `path`. Raises Invalid."""
    return _parse({path: text})[0]


def read_ids(path: str, texts: Sequence[str], most: int = MOST_IDS) -> list[UUID]:
    """The UUIDs in the repeated field `path`, `most` of them. Raises Invalid, naming every bad one."""
    if len(texts) > most:
        refuse([FieldError(path, f"Must be at most {most}, not {len(texts)}")])
    return _parse({f"{path}[{number}]": text for number, text in enumerate(texts)})


def _parse(texts: Mapping[str, str]) -> list[UUID]:
    found = {path: parse_id(text) for path, text in texts.items()}
    refuse(FieldError(path, "Must be a UUID") for path, identifier in found.items() if identifier is None)
    return [identifier for identifier in found.values() if identifier is not None]
