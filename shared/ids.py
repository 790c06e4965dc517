"""Identifiers: UUID version 7 (RFC 9562 section 5.7), which sort by the time they were made; request ids."""

import os
import re
import time
import uuid

GOOD_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")  # safe in headers, logs and URLs


def new_id() -> uuid.UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76  # version
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant
    return uuid.UUID(int=value)


def new_request_id() -> str:
    """128 random bits in hexadecimal. Made for nearly every request, so nothing more than that."""
    return os.urandom(16).hex()


def parse_id(text: str) -> uuid.UUID | None:
    """The identifier that `text` spells in canonical form, or None."""
    try:
        parsed = uuid.UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text.lower() else None
