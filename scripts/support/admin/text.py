"""What the operator's commands print: plain tables, and nothing that a terminal would obey.

Names, addresses and User-Agents are whatever strangers sent. A terminal obeys control characters, and marks
of direction can make one line look like another, so both are shown as escapes.
"""

import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

# Control, format (direction, invisible), lone surrogates, private use, line and paragraph separators.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def shown(text: str) -> str:
    r"""`text` on one line, harmless: what a terminal would obey stands as \x1b, \u202e."""
    return "".join(map(_shown, text))


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, two blanks apart; every cell is `shown`."""
    lines = [heads, *([shown(cell) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(_filled, line, widths)).rstrip() for line in lines)


def time(moment: datetime | None, precision: str = "seconds") -> str:
    """RFC 3339 in UTC, to `precision` as datetime.isoformat has it; empty for none."""
    if moment is None:
        return ""
    return moment.astimezone(UTC).isoformat(timespec=precision).replace("+00:00", "Z")


def _filled(cell: str, width: int) -> str:
    return cell + " " * (width - _width(cell))


def _width(text: str) -> int:
    """In a terminal's columns: an ideograph or a Hangul syllable takes two, a combining mark none."""
    return sum(_columns(character) for character in text)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def _shown(character: str) -> str:
    if unicodedata.category(character) in _ESCAPED:
        return character.encode("unicode_escape").decode("ascii")
    return character
