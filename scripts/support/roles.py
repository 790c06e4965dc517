"""One database and one login role per service, and no way from one into another's.

Passwords travel as SCRAM verifiers only, so that neither a statement nor PostgreSQL's log ever holds one.
Everything here may be done again at any time.
"""

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from psycopg import sql

from scripts.support.scram import scram_verifier
from shared.config import Secret

MOST_CONNECTIONS = 50  # of the 97 that PostgreSQL has by default, for one role: five instances of a service


def create_service_databases(connection: psycopg.Connection, passwords: Mapping[str, Secret]) -> None:
    """For every service in `passwords`: a role with that password, and a database that only it may enter.

    `connection` is a superuser's, in autocommit mode. `postgres` and `template1` are closed as well: by
    default every role may connect to those.
    """
    for service, password in passwords.items():
        _create_role(connection, service, password)
        _create_database(connection, service)
    for database in ("postgres", "template1"):
        _close(connection, database)


def _create_role(connection: psycopg.Connection, name: str, password: Secret) -> None:
    if not _exists(connection, "SELECT FROM pg_roles WHERE rolname = %s", name):
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(name)))
    statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {} PASSWORD {}")
    verifier = scram_verifier(password)
    values = (sql.Identifier(name), sql.Literal(MOST_CONNECTIONS), sql.Literal(verifier))
    connection.execute(statement.format(*values))


def _create_database(connection: psycopg.Connection, name: str) -> None:
    if not _exists(connection, "SELECT FROM pg_database WHERE datname = %s", name):
        connection.execute(sql.SQL("CREATE DATABASE {0} OWNER {0}").format(sql.Identifier(name)))
    _close(connection, name)


def _close(connection: psycopg.Connection, database: str) -> None:
    statement = sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC")
    connection.execute(statement.format(sql.Identifier(database)))


def _exists(connection: psycopg.Connection, query: LiteralString, name: str) -> bool:
    return connection.execute(query, (name,)).fetchone() is not None
