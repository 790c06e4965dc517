"""WWW-Authenticate: how a 401 says what would have been let in (RFC 9110 section 11.6.1). Pure."""

import re

REALM = "plainstack"
NAME = "WWW-Authenticate"

_UNQUOTABLE = re.compile(r"[^\t\x20-\x7e]")  # a quoted string may hold more; not every client reads it
_UNFIT_FOR_ERRORS = re.compile(r"[^\x20\x21\x23-\x5b\x5d-\x7e]")  # RFC 6750 section 3: no quote, no backslash


def quoted(text: str) -> str:
    """`text` as a quoted-string (RFC 9110 section 5.6.4); what cannot stand in one becomes `?`."""
    printable = _UNQUOTABLE.sub("?", text)
    return '"' + re.sub(r'(["\\])', r"\\\1", printable) + '"'


def bearer(error: str = "", description: str = "") -> str:
    """A token is wanted (RFC 6750 section 3); `error` says what was wrong with the one that came, if any."""
    challenge = f"Bearer realm={quoted(REALM)}"
    if not error:
        return challenge
    return f"{challenge}, error={_error_text(error)}, error_description={_error_text(description)}"


def basic() -> str:
    """A client's id and secret are wanted (RFC 7617 section 2)."""
    return f"Basic realm={quoted(REALM)}"


def _error_text(text: str) -> str:
    return quoted(_UNFIT_FOR_ERRORS.sub("'", text))
