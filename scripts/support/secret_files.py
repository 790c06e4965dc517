"""Secrets of one system: files under PLAINSTACK_HOME/secrets, made once and never changed by us.

Each is 32 random bytes in base64url with padding. The file appears complete or not at all, and whoever comes
second keeps what is there, so any number of processes may ask at once.
"""

import base64
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from scripts.support.service_names import services_with_database
from shared.callers import callers
from shared.config import identity_key_setting

SECRET_BYTES = 32


def secret_keys() -> tuple[str, ...]:
    """The names of all secrets that this system needs."""
    services = services_with_database()
    return (
        "POSTGRES_SUPERUSER_PASSWORD",
        "VALKEY_PASSWORD",
        "AUTH_KEY_ENCRYPTION_KEY",
        *(f"POSTGRES_PASSWORD_{name.upper()}" for name in services),
        *(identity_key_setting(caller, name) for name in services for caller in callers(name)),
    )


def make_secrets(home: Path, keys: Iterable[str]) -> list[Path]:
    """Make those of `keys` that are missing; the files made. OSError when `home` cannot be written."""
    folder = home / "secrets"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    paths = (folder / key.lower() for key in keys)
    return [path for path in paths if not path.exists() and _make(path)]


def _make(path: Path) -> bool:
    """True when this call made `path`, False when another process was faster."""
    value = base64.urlsafe_b64encode(os.urandom(SECRET_BYTES))
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(value + b"\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # fails where rename would replace
    except FileExistsError:
        return False
    finally:
        os.unlink(draft)
    return True
