"""`scripts/admin` as the operator calls it, on a real database."""

import os
import subprocess
from collections.abc import Callable

import psycopg
import pytest

from shared.config import CHECKOUT, Secret
from tests.engines import Engines
from tests.scripts.forked import import_before, run_module
from tests.services.databases import emptied

ADMIN = "scripts.support.admin"

import_before([f"{ADMIN}.{module}" for module in ("accounts", "users", "audit", "clients", "keys", "tools")])

Run = Callable[..., "subprocess.CompletedProcess[str]"]


class Admin:
    """The operator at the command line."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings

    def run(self, *arguments: str, password: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        return run_module(
            "scripts.support.admin", arguments, {**os.environ, **self._settings, **settings}, password
        )

    def run_in_shell(self, line: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: PLW1510 - the tests look at the status
            ["/bin/sh", "-c", line],
            env={**os.environ, **self._settings},
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
        )

    def execute(self, statement: bytes) -> None:
        """Change something behind the server's back."""
        with psycopg.connect(self._settings["DATABASE_URL_AUTH"]) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def used_database_url(engines: Engines) -> Secret:
    """One database of the auth server for all tests."""
    return engines.new_database()


@pytest.fixture
def database_url(engines: Engines, used_database_url: Secret) -> Secret:
    """An empty database of the auth server; its tables may be there already."""
    return emptied(engines, used_database_url)


@pytest.fixture
def admin(engines: Engines, database_url: Secret) -> Admin:
    database = {"DATABASE_URL_AUTH": database_url.value}
    return Admin({**engines.settings, **database, "AUTH_KEY_ENCRYPTION_KEY": "A" * 43, "BCRYPT_COST": "4"})
