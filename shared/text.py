"""Text as people write it, so that equal-looking text is equal and names fit on a line (Unicode; pure)."""

import unicodedata

# Control characters, lone surrogates, line and paragraph separators (Unicode section 4.5).
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


def tidy(text: str) -> str:
    """The composed form (NFC)."""
    return unicodedata.normalize("NFC", text)


def tidy_name(name: str) -> str:
    """A name as we keep it: composed, without blanks around it."""
    return tidy(name).strip()


def is_printable(text: str, exceptions: str = "") -> bool:
    """Whether every character can be shown, or is one of the `exceptions`."""
    return not any(unicodedata.category(c) in _UNPRINTABLE for c in text if c not in exceptions)
