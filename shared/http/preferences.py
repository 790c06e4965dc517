"""`Prefer`: what a client would like, and a server may disregard (RFC 7240). Pure."""

import re
from collections.abc import Iterator

_NAME = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED = r'"(?:[^"\\]|\\.)*+"'
_SPACE = r"[ \t]*+"  # possessive, as all of these: a hostile header costs no more than one look at it
_VALUE = rf"={_SPACE}({_NAME}|{_QUOTED})?{_SPACE}"
_PARAMETERS = rf';(?:[^,"]|{_QUOTED})*+'
_PREFERENCE = re.compile(rf"{_SPACE}(?:({_NAME}){_SPACE}(?:{_VALUE})?(?:{_PARAMETERS})?)?(?:,|$)")
_SECONDS = re.compile(r"[0-9]{1,9}")


def wait_preference(prefer: str | None) -> int | None:
    """For how many seconds the client is ready to wait for an answer (section 4.3).

    None when it does not say so in a way that can be understood: then it is as if it had said nothing.
    """
    for name, value in _preferences(prefer or ""):
        if name == "wait":  # the first one counts (section 2)
            return int(value) if _SECONDS.fullmatch(value) else None
    return None


def wait_applied(seconds: int) -> tuple[str, str]:
    """The header that says that the wish was heard (section 3)."""
    return "Preference-Applied", f"wait={seconds}"


def _preferences(prefer: str) -> Iterator[tuple[str, str]]:
    """Names and values, up to what cannot be read."""
    position = 0
    while position < len(prefer) and (found := _PREFERENCE.match(prefer, position)):
        yield (found[1] or "").lower(), (found[2] or "").strip('"')
        position = found.end()
