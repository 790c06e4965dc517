"""Encryption of what must not stand in the database in the clear: AES-256-GCM (NIST SP 800-38D).

What is sealed is bound to a context (which row it belongs to), so that nobody can swap two sealed values.
"""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = 32
NONCE_BYTES = 12  # random, and few enough values are sealed under one key


class CannotUnseal(Exception):
    """The key is another one, or the value was changed."""


def seal(key: bytes, plaintext: bytes, context: bytes) -> bytes:
    """Nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plaintext, context)


def unseal(key: bytes, sealed: bytes, context: bytes) -> bytes:
    """What was sealed under the same key and context. Raises CannotUnseal."""
    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
    except (InvalidTag, ValueError) as failure:
        raise CannotUnseal from failure


def key_from(secret: bytes, purpose: bytes) -> bytes:
    """A key that only whoever has `secret` can derive (HKDF, RFC 5869); `secret` must be hard to guess.

    Keys for different purposes tell nothing of each other.
    """
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=purpose).derive(secret)
