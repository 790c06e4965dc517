"""One database and role per service: nobody enters another's."""

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from scripts.support.roles import create_service_databases
from shared.config import Secret
from tests.engines import Engines


def test_a_role_enters_its_own_database(engines: Engines) -> None:
    with psycopg.connect(engines.new_database().value) as connection:
        connection.execute("CREATE TABLE kept (id uuid DEFAULT uuidv7())")


@pytest.mark.parametrize("database", ["postgres", "template1", "another"])
def test_a_role_enters_no_other_database(engines: Engines, database: str) -> None:
    another = engines.new_database().value.rpartition("/")[2]
    target = make_conninfo(
        engines.new_database().value, dbname=another if database == "another" else database
    )
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(target)


def test_a_wrong_password_is_refused(engines: Engines) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(make_conninfo(engines.new_database().value, password="wrong"))


def test_a_changed_secret_becomes_the_password(engines: Engines) -> None:
    url = engines.new_database().value
    name = url.rpartition("/")[2]
    with psycopg.connect(engines.superuser_url.value, autocommit=True) as superuser:
        create_service_databases(superuser, {name: Secret("changed")})
    with psycopg.connect(make_conninfo(url, password="changed")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_no_password_is_stored_or_logged_in_clear(engines: Engines) -> None:
    url = engines.new_database().value
    password = url.split(":")[2].partition("@")[0]
    with psycopg.connect(engines.superuser_url.value, autocommit=True) as superuser:
        rows = superuser.execute("SELECT rolpassword FROM pg_authid WHERE rolcanlogin").fetchall()
    assert all(row[0].startswith("SCRAM-SHA-256$") for row in rows)
    assert password not in (engines.home / "logs" / "postgres.log").read_text()
