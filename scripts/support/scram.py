"""What PostgreSQL keeps of a password; made here, so that no statement and no log holds the password."""

import base64
import hashlib
import hmac
import os

from shared.config import Secret

ITERATIONS = 4096  # PostgreSQL's own default


def scram_verifier(password: Secret, iterations: int = ITERATIONS) -> str:
    """What PostgreSQL stores for an ASCII password (RFC 5802 section 3, RFC 7677)."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.value.encode("ascii"), salt, iterations)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${iterations}:{_base64(salt)}${_base64(stored_key)}:{_base64(server_key)}"


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")
