"""scripts/admin on a real database."""

import json
import os
import subprocess
import sys

import psycopg
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

    def execute(self, statement: bytes) -> None:
        """Change something behind the server's back."""
        with psycopg.connect(self._settings["DATABASE_URL_AUTH"]) as connection:
            connection.execute(statement)


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


def test_an_account_is_locked_and_unlocked(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    refused = admin.run("users", "lock", "root@example.com")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "--force" in refused.stderr
    locked = admin.run("users", "lock", "root@example.com", "--reason", "on leave", "--force")
    assert (locked.returncode, locked.stderr) == (0, "")
    assert locked.stdout == "root@example.com is locked; sessions ended: 0\n"
    assert "locked" in admin.run("users", "list").stdout
    assert admin.run("users", "unlock", "root@example.com").returncode == 0
    assert "locked" not in admin.run("users").stdout.partition("\n")[2]


def test_a_role_is_given_and_taken_away(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    given = admin.run("users", "role", "root@example.com", "support")
    assert given.stdout == "root@example.com has the roles admin, user, support\n"
    taken = admin.run("users", "role", "root@example.com", "support", "--remove")
    assert taken.stdout == "root@example.com has the roles admin, user\n"
    last = admin.run("users", "role", "root@example.com", "admin", "--remove")
    assert (last.returncode, last.stdout) == (1, "")


def test_a_second_factor_is_taken_off(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    admin.execute(
        b"INSERT INTO totp (user_id, sealed_secret, confirmed_at) SELECT user_id, 'x', now() FROM users"
    )
    for outcome in (
        "root@example.com logs in without second factor\n",
        "root@example.com had no second factor\n",
    ):
        disabled = admin.run("users", "disable-totp", "ROOT@example.com")
        assert (disabled.returncode, disabled.stdout) == (0, outcome)
    (entry,) = map(
        json.loads, admin.run("audit", "--event", "second-factor-disabled", "--json").stdout.splitlines()
    )
    assert entry["actor"] == "operator"
    assert admin.run("users", "disable-totp", "nobody@example.com").returncode == 1


def test_a_command_does_its_work_without_the_store_and_says_so(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    changed = admin.run("grant", "root@example.com", "support", REDIS_URL="redis://127.0.0.1:1/0")
    assert changed.returncode == 0
    assert changed.stderr.startswith("admin: the store cannot be reached")
    assert "support" in admin.run("users").stdout


def test_the_audit_table_is_printed_so_that_no_terminal_obeys_it(admin: Admin) -> None:
    admin.run("create-admin", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD=PASSWORD)
    admin.run("users", "lock", "root@example.com", "--force", "--reason", "\x1b[2Jgone\n\u202efake")
    table = admin.run("audit", "--user", "ROOT@example.com")
    assert (table.returncode, table.stderr) == (0, "")
    heads, *rows = table.stdout.splitlines()
    assert heads.split() == ["TIME", "EVENT", "USER", "SESSION", "ADDRESS", "ACTOR", "DETAILS"]
    assert [row.split()[1:3] for row in rows] == [
        ["signed-up", "root@example.com"],
        ["account-locked", "root@example.com"],
    ]
    assert "operator" in rows[1]
    assert "\x1b" not in table.stdout
    assert "\u202e" not in table.stdout
    lines = admin.run("audit", "--event", "account-locked", "--limit", "1", "--json").stdout
    (entry,) = map(json.loads, lines.splitlines())
    assert entry["details"] == {"sessions": "0", "reason": "\x1b[2Jgone\n\u202efake"}
    assert lines.isascii()
    assert admin.run("audit", "--event", "nonsense").returncode == 2
    assert admin.run("audit", "--limit", "0").returncode == 2
    assert admin.run("audit", "--user", "nobody@example.com").returncode == 1


def test_what_goes_wrong_is_one_line(admin: Admin) -> None:
    for failed in (
        admin.run("create-admin", "nobody", "--password-stdin", password=PASSWORD),
        admin.run("create-admin", "a@b", "--password-stdin", password="short"),
        admin.run("create-admin", "a@b", "--password-stdin", password="iloveyou"),
        admin.run("create-admin", "a@b"),
        admin.run("create-admin"),
        admin.run("users", DATABASE_URL_AUTH="postgresql://auth:x@127.0.0.1:1/auth"),
    ):
        assert failed.returncode in {1, 2}
        assert failed.stderr.count("\n") == 1
        assert failed.stderr.startswith("admin: ")
        assert PASSWORD not in failed.stderr
