"""Text as people write it, so that equal-looking text is equal and names fit on a line (Unicode; pure)."""

import unicodedata

# What Unicode calls stream-safe (UAX #15 section 13); no language needs nearly as many.
MAX_MARKS_IN_A_ROW = 30

# Combining class 0, but each decomposes into marks, the last two in the compatibility forms (NFKC) only.
_MARKS_IN_DISGUISE = "\u0f73\u0f75\u0f81\uff9e\uff9f"

# Control characters, lone surrogates, line and paragraph separators (Unicode section 4.5).
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
_REORDERING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def tidy(text: str) -> str:
    """The composed form (NFC), unless more than MAX_MARKS_IN_A_ROW follow each other: then `text` as it is.

    Putting marks in order takes time that grows with the square of their number: minutes, for a whole body.
    """
    return unicodedata.normalize("NFC", text) if is_stream_safe(text) else text


def tidy_name(name: str) -> str:
    """A name as we keep it: composed, without blanks around it."""
    return tidy(name).strip()


def is_printable(text: str, exceptions: str = "") -> bool:
    """Whether every character can be shown, or is one of the `exceptions`."""
    return not any(unicodedata.category(c) in _UNPRINTABLE for c in text if c not in exceptions)


def is_deceptive(text: str) -> bool:
    """Whether it holds marks that reorder the text beside them (UAX #9): a name could look like another."""
    return not _REORDERING.isdisjoint(text)


def is_stream_safe(text: str) -> bool:
    """Whether normalising it is quick: no more than MAX_MARKS_IN_A_ROW follow each other."""
    if text.isascii():
        return True
    marks = 0
    for character in text:
        is_mark = unicodedata.combining(character) or character in _MARKS_IN_DISGUISE
        marks = marks + 1 if is_mark else 0
        if marks > MAX_MARKS_IN_A_ROW:
            return False
    return True
