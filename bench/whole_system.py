"""A whole system of a benchmark's own: its ports, its data, and somebody to log in."""

import json
import secrets
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.client import Client, Reply, log_in
from tests.e2e.system import CORE, System, procfile_of

SIGNUPS_AT_ONCE = 4  # each costs the auth server a hash
UNLIMITED = "1000000"
NO_LOCKOUT = {"LOGIN_FREE_FAILURES_ACCOUNT": UNLIMITED, "LOGIN_FREE_FAILURES_ADDRESS": UNLIMITED}


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who can log in."""

    email: str
    password: str = field(repr=False)


@contextmanager
def whole_system(
    home: Path, settings: Mapping[str, str], processes: Collection[str] = CORE
) -> Iterator[System]:
    """A system of `processes` with its data in `home`, ready to be asked; it ends with the block."""
    system = System(home, {**procfile_of(processes, home.parent), **settings})
    try:
        system.start()
        yield system
    finally:
        system.close()


def sign_up(system: System, count: int) -> list[Account]:
    """So many new accounts."""
    accounts = [Account(random_email(), secrets.token_urlsafe(16)) for _ in range(count)]
    with ThreadPoolExecutor(SIGNUPS_AT_ONCE) as threads:
        list(threads.map(lambda account: _sign_up(system, account), accounts))
    return accounts


def access_token(system: System, account: Account) -> str:
    """One of `account`'s."""
    with Client(system.url()) as client:
        return str(_member(log_in(client, account.email, account.password), 200, "access_token"))


def random_email() -> str:
    """An address like all others in length and form."""
    return f"{secrets.token_hex(8)}@example.com"


def _sign_up(system: System, account: Account) -> None:
    form = {"email": account.email, "password": account.password, "display_name": "Bench"}
    with Client(system.url()) as client:
        _member(client.post("/auth/signup", form), 201, "user_id")


def _member(reply: Reply, status: int, name: str) -> object:
    if reply.status != status:
        raise RuntimeError(f"{reply.status} instead of {status}: {reply.body.decode()}")
    return json.loads(reply.body)[name]
