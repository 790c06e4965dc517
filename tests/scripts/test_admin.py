"""scripts/admin on a real database."""

import json
import os
import pwd
import socket

from tests.scripts.conftest import Admin

PASSWORD = "correct horse battery"


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
    forced = admin.run("users", "role", "root@example.com", "support", "--force")
    assert (forced.returncode, forced.stdout) == (1, "")
    assert forced.stderr == "admin: --force is for --remove: a role can always be given\n"
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
    by = f"{pwd.getpwuid(os.getuid()).pw_name}@{socket.gethostname()}"
    assert entry["details"] == {"sessions": "0", "reason": "\x1b[2Jgone\n\u202efake", "by": by}
    assert f"by: {by}" in rows[1]
    assert lines.isascii()
    assert admin.run("audit", "--event", "nonsense").returncode == 2
    for count in ("0", "x", "9" * 20):
        refused = admin.run("audit", "--limit", count)
        assert refused.returncode == 2
        assert f"must be a whole number from 1 to 999999999, not '{count}'" in refused.stderr
    assert admin.run("audit", "--user", "nobody@example.com").returncode == 1


def test_an_address_is_unlocked(admin: Admin) -> None:
    admin.run("users")  # which makes the tables
    admin.execute(
        b"INSERT INTO guesses (kind, subject, failures, first_attempt_at, last_attempt_at, last_outcome)"
        b" VALUES ('address', sha256('2001:db8::/64'), 100, now(), now(), 'locked')"
    )
    for _ in range(2):
        unlocked = admin.run("users", "unlock", "--address", "2001:db8::7")
        assert (unlocked.returncode, unlocked.stdout) == (0, "2001:db8::/64 is not locked\n")
    (entry,) = map(json.loads, admin.run("audit", "--json").stdout.splitlines())
    assert (entry["event"], entry["details"]["network"]) == ("address-unlocked", "2001:db8::/64")
    for words in ([], ["nobody@example.com", "--address", "::1"], ["--address", "here"]):
        assert admin.run("users", "unlock", *words).returncode == 2


def test_audit_by_address(admin: Admin) -> None:
    admin.run("users")
    for address in (b"203.0.113.7", b"203.0.113.8"):
        admin.execute(
            b"INSERT INTO audit (event, actor, address) VALUES ('logged-out', 'client', '" + address + b"')"
        )
    (entry,) = map(json.loads, admin.run("audit", "--address", "203.0.113.8", "--json").stdout.splitlines())
    assert entry["address"] == "203.0.113.8"


def test_the_admin_of_the_settings_concerns_no_other_command(admin: Admin) -> None:
    """Whose password may be nowhere, or one that the rules no longer allow."""
    assert admin.run("users", ADMIN_EMAIL="root@example.com").returncode == 0
    assert admin.run("users", ADMIN_EMAIL="root@example.com", ADMIN_PASSWORD="Password").returncode == 0


def test_whoever_reads_may_stop(admin: Admin) -> None:
    for command, statuses in (("users", {"141\n"}), ("users --help", {"0\n", "141\n"})):
        piped = admin.run_in_shell(f"exec 3>&1; (./scripts/admin {command}; echo $? >&3) | true")
        assert piped.stdout in statuses
        assert piped.stderr == ""


def test_without_a_command_the_commands_are_shown(admin: Admin) -> None:
    shown = admin.run()
    assert (shown.returncode, shown.stdout) == (2, "")
    for command in ("create-admin", "users", "grant", "audit", "clients", "keys"):
        assert f"\n    {command}" in shown.stderr


def test_what_goes_wrong_is_one_line(admin: Admin) -> None:
    for failed in (
        admin.run("create-admin", "nobody", "--password-stdin", password=PASSWORD),
        admin.run("create-admin", "a@b", "--password-stdin", password="short"),
        admin.run("create-admin", "a@b", "--password-stdin", password="iloveyou"),
        admin.run("create-admin", "a@b"),
        admin.run("create-admin"),
        admin.run("users", "lock", "\udcff@example.com"),  # what is no UTF-8 comes as this
        admin.run("users", DATABASE_URL_AUTH="postgresql://auth:x@127.0.0.1:1/auth"),
    ):
        assert failed.returncode in {1, 2}
        assert failed.stderr.count("\n") == 1
        assert failed.stderr.startswith("admin: ")
        assert PASSWORD not in failed.stderr
