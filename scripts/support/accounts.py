"""Who commands that play clients log in as, where only an admin can do something."""

import secrets
import subprocess
from dataclasses import dataclass, field

from scripts.support.failures import SetupError
from shared.config import Environment


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in."""

    email: str
    password: str = field(repr=False)


def admin_account(environment: Environment, name: str) -> Account:
    """ADMIN_EMAIL with ADMIN_PASSWORD, or else an account made now, by `./scripts/admin`, for `name`.

    Raises SetupError when that fails.
    """
    values = environment.values
    if values.get("ADMIN_EMAIL") and values.get("ADMIN_PASSWORD"):
        return Account(values["ADMIN_EMAIL"], values["ADMIN_PASSWORD"])
    account = Account(f"{name}-admin-{secrets.token_hex(4)}@example.com", secrets.token_urlsafe(16))
    command = ["scripts/admin", "create-admin", account.email, "--password-stdin"]
    print(f"   $ ./{' '.join(command)}", flush=True)
    done = subprocess.run(command, input=account.password, text=True, check=False)
    if done.returncode != 0:
        raise SetupError("scripts/admin could not make an admin")
    print()
    return account
