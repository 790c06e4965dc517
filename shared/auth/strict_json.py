"""JSON that can be read in one way only (RFC 8259, RFC 7515 section 4, RFC 8725 section 2.4)."""

import json
from typing import Any


def parse_object(octets: bytes) -> dict[str, Any]:
    """A JSON object in UTF-8; ValueError for anything else and for a member given twice.

    Two parsers that choose different ones of two members called `sub` would see two different tokens.
    """
    try:
        value = json.loads(
            octets.decode("utf-8"), object_pairs_hook=_unique_members, parse_constant=_refuse_constant
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate members")
    return members


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
