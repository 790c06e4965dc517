"""scripts/admin on a real database."""

import os
import subprocess
import sys

import pytest

from shared.config import CHECKOUT
from tests.engines import Engines

PASSWORD = "correct horse battery"


class Admin:
    """The operator at the command line."""

    def __init__(self, settings: dict[str, str]) -> None:
        self._settings = settings

    def run(self, *arguments: str, password: str = "", **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(  # noqa: PLW1510 - the tests look at the status
            [sys.executable, "-m", "scripts.support.admin", *arguments],
            env={**os.environ, **self._settings, **settings},
            cwd=CHECKOUT,
            input=password,
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
def admin(engines: Engines) -> Admin:
    database = {"DATABASE_URL_AUTH": engines.new_database().value}
    return Admin({**engines.settings, **database, "AUTH_KEY_ENCRYPTION_KEY": "A" * 43, "BCRYPT_COST": "4"})


def test_an_admin_is_created_listed_and_unique(admin: Admin) -> None:
    created = admin.run("create-admin", "root@example.com", "--password-stdin", password=PASSWORD + "\n")
    assert (created.returncode, created.stderr) == (0, "")
    assert "root@example.com" in created.stdout
    listed = admin.run("users")
    assert "root@example.com" in listed.stdout
    assert "admin,user" in listed.stdout
    again = admin.run("create-admin", "ROOT@example.com", ADMIN_PASSWORD=PASSWORD)
    assert (again.returncode, again.stderr) == (
        1,
        "admin: There is an account with this e-mail address already.\n",
    )


def test_a_role_is_granted(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    granted = admin.run("grant", "root@example.com", "support")
    assert granted.returncode == 0
    assert "admin, user, support" in granted.stdout
    assert admin.run("grant", "nobody@example.com", "support").returncode == 1
    assert admin.run("grant", "root@example.com", "a,b").returncode == 1


def test_what_goes_wrong_is_one_line(admin: Admin) -> None:
    for failed in (
        admin.run("create-admin", "nobody", "--password-stdin", password=PASSWORD),
        admin.run("create-admin", "a@b", "--password-stdin", password="short"),
        admin.run("create-admin", "a@b"),
        admin.run("create-admin"),
        admin.run("users", DATABASE_URL_AUTH="postgresql://auth:x@127.0.0.1:1/auth"),
    ):
        assert failed.returncode in {1, 2}
        assert failed.stderr.count("\n") == 1
        assert failed.stderr.startswith("admin: ")
        assert PASSWORD not in failed.stderr
