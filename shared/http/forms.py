"""Forms: `application/x-www-form-urlencoded`, in the one spelling that everybody reads alike.

Parameters are split first and decoded after that, once. What decoders disagree about is refused: a parameter
that comes twice, a percent sign that begins no octet, text that is not UTF-8.
"""

import re
from urllib.parse import unquote_to_bytes

from shared.errors import Malformed
from shared.http.messages import Request
from shared.http.problems import HTTPError

MEDIA_TYPE = "application/x-www-form-urlencoded"
FORM_LIMIT_BYTES = 65_536  # several times the longest token
MAX_PARAMETERS = 100

_ENCODED = re.compile(r"(?:[\x21-\x24\x26-\x7e]|%[0-9A-Fa-f]{2})*")


async def read_form(request: Request) -> dict[str, str]:
    """The parameters of the request's body; whichever is empty is there, and empty.

    Raises HTTPError 415 for another media type, PayloadTooLarge past FORM_LIMIT_BYTES, and Malformed.
    """
    media_type = (request.headers.get("content-type") or MEDIA_TYPE).partition(";")[0].strip().lower()
    if media_type != MEDIA_TYPE:
        raise HTTPError(415, f"The body must be {MEDIA_TYPE}.", [("Accept", MEDIA_TYPE)])
    return parse_form((await request.body.read(FORM_LIMIT_BYTES)).decode("latin-1"))


def parse_form(text: str) -> dict[str, str]:
    """The parameters that `text` spells. Raises Malformed."""
    parameters: dict[str, str] = {}
    pairs = [pair for pair in text.split("&") if pair]
    if len(pairs) > MAX_PARAMETERS:
        raise Malformed(f"There are more than {MAX_PARAMETERS} parameters.")
    for pair in pairs:
        name, _, value = pair.partition("=")
        key = decode_component(name)
        if key in parameters:
            raise Malformed("A parameter comes more than once.")  # RFC 6749 section 3.2
        parameters[key] = decode_component(value)
    return parameters


def decode_component(text: str) -> str:
    """What `text` spells: `+` is a space, `%` begins an octet of UTF-8. Raises Malformed."""
    if not _ENCODED.fullmatch(text):
        raise Malformed("The form is not properly percent-encoded.")
    try:
        return unquote_to_bytes(text.replace("+", " ")).decode()
    except UnicodeDecodeError as broken:
        raise Malformed("The form is not percent-encoded UTF-8.") from broken
