"""scripts/admin clients, on a real database."""

from functools import partial

import psycopg
import pytest

from shared.config import Secret
from tests.scripts.conftest import Admin, Run


@pytest.fixture
def clients(admin: Admin) -> Run:
    """Runs `scripts/admin clients` with the words that it is given."""
    return partial(admin.run, "clients")


def test_a_client_is_added_listed_and_removed(clients: Run, database_url: Secret) -> None:
    added = clients("add", "Warehouse of the South")
    assert (added.returncode, added.stderr) == (0, "")
    shown = dict(line.split() for line in added.stdout.splitlines())
    assert set(shown) == {"client_id", "client_secret"}
    listed = clients("list").stdout
    assert shown["client_id"] in listed
    assert "Warehouse of the South" in listed
    assert shown["client_secret"] not in listed
    assert clients().stdout == listed
    assert clients("remove", shown["client_id"]).returncode == 0
    assert shown["client_id"] not in clients("list").stdout
    with psycopg.connect(database_url.value) as connection:
        entries = connection.execute("SELECT event, actor FROM audit WHERE event LIKE 'client-%'").fetchall()
    assert entries == [("client-added", "operator"), ("client-removed", "operator")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["remove", "nobody"], "admin: There is no such client.\n"),
        (["remove", "\udcff"], "admin: There is no such client.\n"),  # what is no UTF-8 comes as this
        (["add", ""], "admin: name: Must be 1 to 100 characters long\n"),
        (["add", "a\x1b[2J"], "admin: name: Must not contain control characters\n"),
    ],
)
def test_what_goes_wrong_is_one_line(clients: Run, words: list[str], said: str) -> None:
    failed = clients(*words)
    assert (failed.returncode, failed.stdout, failed.stderr) == (1, "", said)
