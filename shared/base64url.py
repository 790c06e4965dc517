"""Octets as text that is safe in URLs, headers and tokens: base64url without padding (RFC 7515 section 2)."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(octets: bytes) -> str:
    """The one spelling of `octets`."""
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")


def decode(text: str) -> bytes:
    """The octets that `text` spells; ValueError unless it is their one canonical spelling.

    Python's decoder skips foreign characters and ignores spare bits. Encoding again shows both.
    """
    octets = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if encode(octets) != text:
        raise ValueError("not canonical base64url")
    return octets
