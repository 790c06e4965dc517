"""W3C Trace Context: accept `traceparent`, make a child span's, pass it on (www.w3.org/TR/trace-context)."""

import os
import re

from shared.context import Trace

# Version ff is forbidden; a later version may append fields, which we must ignore (section 3.2.2).
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
_VERSION_0_LENGTH = 55


def begin_span(traceparent: str | None) -> Trace:
    """A new span: a child of the one that `traceparent` names, or the root of a new trace."""
    matched = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if matched is None or (matched[0].startswith("00") and len(matched[0]) != _VERSION_0_LENGTH):
        random = os.urandom(24).hex()
        return Trace(random[:32], random[32:])
    return Trace(matched[1], os.urandom(8).hex(), matched[2], matched[3])
